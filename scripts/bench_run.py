"""Measures the runner beside the bare limits and prints both, and their ratio. Started by scripts/bench."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts import bench_bare
from scripts.bench_server import Server, free_port, serving, wait_for_exit, wait_until

MB = 1e6


@dataclass(frozen=True)
class Row:
    """One line of the table; ``bare`` is what the same costs without us, None where nothing compares."""

    name: str
    unit: str
    ours: str
    bare: str = "-"
    ratio: str = "-"


def spread(times: Sequence[float]) -> str:
    """p50 / p99."""
    return f"{at(times, 0.5):.2f} / {at(times, 0.99):.2f}"


def at(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def beside(name: str, unit: str, ours: Sequence[float], bare: Sequence[float]) -> Row:
    return Row(name, unit, spread(ours), spread(bare), f"{at(ours, 0.5) / at(bare, 0.5):.1f}")


def measure_starts(server: Server, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from the POST to the first line of the workflow, and to the 202."""
    client, lines, answers = server.client(), [], []
    for _ in range(count):
        began = time.monotonic_ns()
        job_id = client.start(type="bench_first_line")
        answers.append((time.monotonic_ns() - began) / 1e6)
        job = client.wait(job_id, lambda job: job["status"] == "completed")
        lines.append((job["result"]["firstLine"] - began) / 1e6)
    return lines, answers


def measure_throughput(server: Server, count: int) -> float:
    """No-op jobs a second, each durable and in a fresh process, until the last is completed."""
    clients = [server.client() for _ in range(8)]
    began = time.monotonic()
    with ThreadPoolExecutor(len(clients)) as pool:
        share = count // len(clients)
        started = pool.map(lambda client: [client.start(type="bench_first_line") for _ in range(share)], clients)
        ids = [job_id for some in started for job_id in some]
    done: set[str] = set()

    def all_done() -> bool:
        done.update(job["id"] for job in clients[0].call("GET", "/admin/jobs?status=completed&limit=1000"))
        return done.issuperset(ids)

    wait_until(all_done)
    return len(ids) / (time.monotonic() - began)


def measure_cancels(server: Server, folder: Path, count: int) -> dict[str, list[float]]:
    """Milliseconds from the POST of a cancel until: answered, seen by the job, process gone, status proved."""
    client = server.client()
    times: dict[str, list[float]] = {"answered": [], "seen": [], "gone": [], "proved": []}
    for number in range(count):
        mark = folder / f"seen-{number}"
        job_id = client.start(type="bench_sleep", mark=str(mark))
        job = client.wait(job_id, lambda job: "message" in job["progress"])
        handle = os.pidfd_open(int(job["progress"]["message"]))
        began = time.monotonic_ns()
        client.call("POST", f"/admin/jobs/{job_id}/cancel")
        times["answered"].append((time.monotonic_ns() - began) / 1e6)
        times["gone"].append((wait_for_exit(handle) - began) / 1e6)
        client.wait(job_id, lambda job: job["cancellation"]["phase"] == "stopped")
        times["proved"].append((time.monotonic_ns() - began) / 1e6)
        times["seen"].append((int(mark.read_text()) - began) / 1e6)
        os.close(handle)
    return times


def measure_memory(server: Server, count: int) -> tuple[float, float]:
    """MB an idle running job costs: its own pages (USS), and what the machine has less of, kernel included."""
    client = server.client()
    family = {process.pid for process in server.family()}
    before = psutil.virtual_memory().available
    ids = [client.start(type="bench_idle") for _ in range(count)]
    for job_id in ids:
        client.wait(job_id, lambda job: job["status"] == "running")
    less = (before - psutil.virtual_memory().available) / count / MB
    own = [process.memory_full_info().uss / MB for process in server.family() if process.pid not in family]
    for job_id in ids:
        client.call("POST", f"/admin/jobs/{job_id}/cancel")
    return statistics.median(own), less


def measure_crash(server: Server, running: int) -> float:
    """Milliseconds from SIGKILL of the server until all its processes are gone."""
    client = server.client()
    for job_id in [client.start(type="bench_idle") for _ in range(running)]:
        client.wait(job_id, lambda job: job["status"] == "running")
    family = server.family()
    began = time.monotonic_ns()
    server.end(signal.SIGKILL)
    wait_until(lambda: not any(process.is_running() and process.status() != "zombie" for process in family))
    return (time.monotonic_ns() - began) / 1e6


def run(jobs: int, idle: int, folder: Path) -> list[Row]:
    start = bench_bare.context()
    bare_hand_over = bench_bare.hand_over(start, jobs)
    bare_post = bench_bare.empty_post(free_port(), jobs, wait_until)
    bare_line = [post + hand for post, hand in zip(sorted(bare_post), sorted(bare_hand_over), strict=True)]
    bare_rate = bench_bare.processes_a_second(start, jobs)
    bare_kill = bench_bare.kill_to_gone(start, 30)
    with serving(folder / "home") as server:
        lines, answers = measure_starts(server, jobs)
        cancels = measure_cancels(server, folder, max(20, jobs // 4))
        rate = measure_throughput(server, jobs)
        own, less = measure_memory(server, idle)
    with serving(folder / "crash") as server:
        crash = measure_crash(server, 3)
    return [
        beside("POST -> first user line", "ms", lines, bare_line),
        beside("POST -> 202 (on disk)", "ms", answers, bare_post),
        Row(
            "no-op jobs, fresh process each, durable",
            "1/s",
            f"{rate:.0f}",
            f"{bare_rate:.0f}",
            f"{rate / bare_rate:.2f}",
        ),
        beside("cancel -> answered", "ms", cancels["answered"], bare_post),
        beside("cancel -> sleeping job has seen it", "ms", cancels["seen"], bare_post),
        beside("cancel -> process gone", "ms", cancels["gone"], bare_kill),
        beside("cancel -> status says so", "ms", cancels["proved"], bare_kill),
        Row("idle running job, own pages", "MB", f"{own:.1f}"),
        Row("idle running job, kernel share included", "MB", f"{less:.1f}"),
        Row("server killed -> all its processes gone", "ms", f"{crash:.0f}"),
        Row("fsync of 4 kB, for scale", "ms", spread(bench_bare.fsync(folder, 100))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="how many jobs a figure is taken over")
    parser.add_argument("--idle", type=int, default=50, help="how many idle jobs memory is measured with")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rows = run(given.jobs, given.idle, Path(folder))
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}")
    print("times are p50 / p99\n")
    print(f"| {'figure':<42} | unit | {'here':>15} | {'bare limit':>15} | {'ratio':>6} |")
    print(f"|{'-' * 44}|------|{'-' * 17}|{'-' * 17}|{'-' * 8}|")
    for row in rows:
        print(f"| {row.name:<42} | {row.unit:<4} | {row.ours:>15} | {row.bare:>15} | {row.ratio:>6} |")


if __name__ == "__main__":
    main()

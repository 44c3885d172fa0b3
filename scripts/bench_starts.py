"""Starts: from the hand-over, and from the request, to the first line; and how many a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from runner.clock import Clock
from runner.context import Run
from runner.opening import open_store
from runner.process import JobProcess
from runner.settings import Settings
from runner.stores.jobs import JobRows, NewJob
from runner.stores.migrate import migrate
from runner.stores.runs import RunRows
from scripts import bench_bare
from scripts.bench_empty import empty_posts
from scripts.bench_pipe import Pipe, pipe
from scripts.bench_place import Place
from scripts.bench_rows import Figure, Row, at_least, at_most
from scripts.bench_server import Server, serving, wait_until

HAND_OVER = Figure(
    "hand-over to first user line, from a standby",
    "ms",
    (at_most(0.6), at_most(5)),
    "one byte sent to a process that stands by on a pipe",
)
FIRST_LINE = Figure(
    "POST sent -> first user line, fresh process",
    "ms",
    (at_most(2.5), at_most(5)),
    "an empty POST to waitress, and the bare hand-over",
)
ANSWERED = Figure("POST sent -> 202, the job is on disk", "ms", (), "an empty POST to waitress")
A_SECOND = Figure(
    "no-op jobs a second, fresh process each, durable",
    "1/s",
    (at_least(150),),
    "processes of a fork server, started and collected, 8 at a time; before and after",
    0.6,
)
FIGURES = (HAND_OVER, FIRST_LINE, ANSWERED, A_SECOND)


def measure(place: Place) -> Iterator[Row]:
    count = place.jobs
    place.say(f"{count} bare hand-overs, then {count} of ours")
    before = bench_bare.hand_over(place.start, count // 2)
    ours = _hand_overs(place, count)
    bare = before + bench_bare.hand_over(place.start, count - count // 2)
    yield HAND_OVER.times(ours, bare)
    place.say(f"{count} empty POSTs, then {count} starts")
    posts = empty_posts(count)
    with serving(place.fresh("starts")) as server, pipe(place.folder) as said:
        lines, answers = _starts(server, said, count)
        bare_lines = [post + hand for post, hand in zip(sorted(posts), sorted(bare), strict=True)]
        yield FIRST_LINE.times(lines, bare_lines)
        yield ANSWERED.times(answers, posts)
        place.say(f"{count * 2} no-op jobs, and as many bare processes")
        first = bench_bare.processes_a_second(place.start, count)
        rate = _throughput(server, count * 2)
        second = bench_bare.processes_a_second(place.start, count)
        yield A_SECOND.row(rate, 2 / (1 / first + 1 / second), note=f"over {count * 2}, by 8 clients at once")


def _hand_overs(place: Place, count: int) -> list[float]:
    """Our process and our child, without a server: a real store, a claimed job each, one standby at a time."""
    settings, clock = Settings(home=place.fresh("hand-over"), database_url="", workflows=bench_bare.WORKFLOWS), Clock()
    migrate(settings.url)
    store, times = open_store(settings, clock), []
    with pipe(place.folder) as said:
        for number in range(count):
            job_id, config = f"job_{number:013d}_bench", {"said": said.path}
            with store.write() as tx:
                JobRows(tx).add(NewJob(job_id, "bench_first_line", config, {}, None, "bench"))
                RunRows(tx).claim(job_id, "bench")
            process = JobProcess(place.start, None, clock)
            wait_until(partial(_is_ready, process), "a standby")
            run = Run(job_id, "bench_first_line", "run", 1, 1, None, config, {})
            began = time.monotonic_ns()
            process.hand_over(run, settings.for_job())
            times.append((said.numbers(number + 1)[-1] - began) / 1e6)
            wait_until(partial(_is_gone, process), "a process of ours has ended")
            process.close()
    store.close()
    return times


def _is_ready(process: JobProcess) -> bool:
    return any("ready" in message for message in process.messages())


def _is_gone(process: JobProcess) -> bool:
    return not process.is_alive()


def _starts(server: Server, said: Pipe, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from the POST to the first line of the workflow, and to the 202. One after the other has ended."""
    client, lines, answers = server.client(), [], []
    for number in range(count):
        began = time.monotonic_ns()
        job_id = client.start(type="bench_first_line", said=said.path)
        answers.append((time.monotonic_ns() - began) / 1e6)
        lines.append((said.numbers(number + 1)[-1] - began) / 1e6)
        client.wait(job_id, lambda job: job["status"] == "completed", "is completed", pause=0.01)
    return lines, answers


def _throughput(server: Server, count: int) -> float:
    """No-op jobs a second, each durable and in a fresh process, until the last is completed."""
    clients = [server.client() for _ in range(8)]
    share = count // len(clients)
    before, began = server.count("status = 'completed'"), time.monotonic()
    with ThreadPoolExecutor(len(clients)) as pool:
        started = pool.map(lambda client: [client.start(type="bench_first_line") for _ in range(share)], clients)
        ids = {job_id for some in started for job_id in some}

    wait_until(
        lambda: server.count("status = 'completed'") >= before + len(ids),
        "all no-op jobs are completed",
        60.0,
        pause=0.01,
    )
    return len(ids) / (time.monotonic() - began)

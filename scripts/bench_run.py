"""Measures the runner beside the bare limits of this machine and prints both, and their ratio. See scripts/bench."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from scripts import (
    bench_bare,
    bench_cancels,
    bench_many,
    bench_memory,
    bench_peers,
    bench_reads,
    bench_restart,
    bench_starts,
    bench_sync,
    bench_trees,
)
from scripts.bench_place import Place
from scripts.bench_rows import HEADINGS, Figure, NotMeasured, Row, notes, table

PEER_SECONDS = 600
NAMES = "starts, cancels, force, trees, memory, many, restart, reads, newest, sync, fsync, peers"


@dataclass(frozen=True)
class Group:
    """Rows that are measured together. ``seconds``: at the most, then those that are left have failed."""

    figures: Sequence[Figure]
    measure: Callable[[Place], Iterator[Row]]
    seconds: int = 120


def groups(place: Place) -> dict[str, Group]:
    """In the order of the table."""
    long = 120 + place.many
    return {
        "starts": Group(bench_starts.FIGURES, bench_starts.measure, 240),
        "cancels": Group(bench_cancels.FIGURES, bench_cancels.measure),
        "force": Group(bench_cancels.FORCED_FIGURES, bench_cancels.measure_force),
        "trees": Group(bench_trees.FIGURES, bench_trees.measure, 60 + 30 * place.trees),
        "memory": Group(bench_memory.FIGURES, bench_memory.measure),
        "many": Group(bench_many.FIGURES, bench_many.measure, long),
        "restart": Group(bench_restart.FIGURES, bench_restart.measure, 180),
        "reads": Group((bench_reads.GETS,), bench_reads.measure),
        "newest": Group((bench_reads.newest_figure(place.rows),), bench_reads.measure_newest, 60 + place.rows // 2000),
        "sync": Group(bench_sync.FIGURES, bench_sync.measure),
        "fsync": Group((bench_reads.FSYNC,), bench_reads.measure_fsync),
    }


def rows_of(group: Group, place: Place) -> Iterator[Row]:
    """All its rows; those that cannot be taken say why, and nothing else is the worse for it."""
    left = list(group.figures)
    try:
        with at_most_seconds(group.seconds):
            for row in group.measure(place):
                left.remove(row.figure)
                yield row
    except Exception as error:
        why = str(error) if isinstance(error, NotMeasured) else f"{type(error).__name__}: {error}"
        place.say(f"failed: {why}")
        yield from (figure.failed(why) for figure in left)


@contextmanager
def at_most_seconds(seconds: int) -> Iterator[None]:
    def over(*_: Any) -> NoReturn:
        raise NotMeasured(f"it took longer than {seconds} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="how many jobs a figure is taken over")
    parser.add_argument("--idle", type=int, default=40, help="how many idle jobs memory is measured with")
    parser.add_argument("--many", type=int, default=200, help="how many jobs run at once; 1000 is what is aimed at")
    parser.add_argument("--rows", type=int, default=100_000, help="how many jobs the newest are looked for among")
    parser.add_argument("--trees", type=int, default=3, help="how many trees of each shape are ended by force")
    parser.add_argument(
        "--only", action="append", metavar="GROUP", help=f"only these rows, may be given again: {NAMES}"
    )
    parser.add_argument("--peers", action="store_true", help="also RQ, Celery and Huey, in a throw-away place")
    return parser.parse_args()


def measure_all(given: argparse.Namespace, place: Place) -> list[Row]:
    wanted = groups(place)
    if unknown := set(given.only or ()) - set(wanted) - {"peers"}:
        raise SystemExit(f"There are no rows called {', '.join(sorted(unknown))}; there are {NAMES}")
    found: list[Row] = []
    for name, group in wanted.items():
        if given.only is None or name in given.only:
            place.say(f"-- {name} --")
            found += rows_of(group, place)
    return found


def compare_peers(place: Place) -> str:
    """The second table, or why there is none; the first one stands all the same."""
    try:
        with at_most_seconds(PEER_SECONDS):
            return bench_peers.compare(place)
    except Exception as error:
        return f"\nThe peers: failed: {type(error).__name__}: {error}"


def load() -> str:
    return " ".join(f"{one:.2f}" for one in os.getloadavg())


def leave(number: int, _frame: object) -> NoReturn:
    """As by Ctrl-C: all that was started is ended on the way out."""
    raise SystemExit(128 + number)


def main() -> None:
    given = read_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    start, before = bench_bare.context(), load()
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        place = Place(
            Path(folder).resolve(), start, max(20, given.jobs), given.idle, given.many, given.rows, given.trees
        )
        rows = measure_all(given, place)
        print_all(rows, before)
        if given.peers or "peers" in (given.only or ()):
            place.say("-- peers --")
            print(compare_peers(place), flush=True)
    if any(row.note.startswith("failed") for row in rows):
        sys.exit(1)


def print_all(rows: Sequence[Row], before: str) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    print(f"{os.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}, ", end="")
    print(f"{platform.system()} {platform.release()}; load average before {before}, after {load()}")
    print("Two numbers in a row of times are p50 / p99. The ratio is that of the first number to the bare limit's.\n")
    if rows:
        print(table(HEADINGS, (row.cells() for row in rows)))
        print("\n" + "\n".join(notes(rows)), flush=True)


if __name__ == "__main__":
    main()

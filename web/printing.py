"""What the command line prints. Nothing that comes from a server or a file acts on the terminal."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from web.client import is_over
from web.visible import visible

out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(text: object) -> None:
    out.print(Text(visible(str(text))))


def complain(text: object) -> None:
    err.print(Text(f"runner: {visible(str(text))}"))


def note(text: object) -> None:
    """For whoever reads along; what a program wants is on stdout."""
    err.print(Text(visible(str(text))))


def print_json(value: object) -> None:
    """One line, everything but ASCII escaped: safe to see, and the same to parse."""
    print(json.dumps(value))


def print_jobs(jobs: list[dict[str, Any]]) -> None:
    """Two lines each, so that 80 columns are enough for a job of ours; a third one for what it waits for."""
    for job in jobs:
        config, state = job.get("config", {}), state_of(job)
        how = {"True": "dry run", "False": "real run"}.get(str(config.get("dryRun")), "")
        more = [visible(str(config.get("groupWaId", "")), 80), how, job["createdAt"]]
        say(f"{job['id']}  {job['status']:9}  {visible(job['type'], 80)}  {progress_of(job)}")
        say("    " + "  ".join(cell for cell in more if cell))
        if state != job["status"]:
            say(f"    {state}")


def print_job(job: dict[str, Any]) -> None:
    for name, value in job.items():
        say(f"{name}: {value if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)}")


def print_preview(preview: dict[str, Any]) -> None:
    """What a cancel would do."""
    processes = preview["wouldSignal"]
    named = ", ".join(f"{process['name']} ({process['pid']})" for process in processes)
    say(f"Would stop {len(processes)} processes{f': {named}' if named else ''}")
    say(f"In hand right now: {preview['batchInHand']['items']}. Done and kept: {preview['kept']['processed']}")
    say(f"Over at the latest {preview['deadlineAt']}")


def state_of(job: dict[str, Any]) -> str:
    """The status, and what is really happening while a cancel is under way, or while it waits."""
    status, phase = str(job["status"]), job.get("cancellation", {}).get("phase")
    if phase not in (None, "stopped"):
        return f"{status} ({phase}, at the latest {job['cancellation']['deadlineAt']})"
    if job.get("pausing"):
        return f"{status} (pausing)"
    if "waitingFor" in job:
        return f"{status} (waits for {job['waitingFor']})"
    reason = job.get("waiting", {}).get("reason")
    return f"{status} ({reason})" if reason and status in ("running", "pending") else status


def progress_of(job: dict[str, Any]) -> str:
    progress = job["progress"]
    total = f"/{progress['total']}" if "total" in progress else ""
    percent = f" {progress['percent']:g} %" if "percent" in progress else ""
    return f"{progress['processed']}{total}{percent}"


def span_of(seconds: int | None) -> str:
    """``1:02:03``, ``2:03``, or ``unknown`` rather than a guess."""
    if seconds is None:
        return "unknown"
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


class Bar:
    """A bar with percent and ETA, in the terminal's place for it; lines where it is no terminal."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.fields[state]}", markup=False), BarColumn(), TextColumn("{task.fields[left]}"))
        self._progress = Progress(*columns, console=err, transient=False, disable=not err.is_terminal)
        self._line: TaskID | None = None
        self._said: tuple[str, int] | None = None

    def __enter__(self) -> Bar:
        self._progress.start()
        self._line = self._progress.add_task("", total=None, state="", left="")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, job: dict[str, Any]) -> None:
        progress = job["progress"]
        eta = "" if is_over(job) else f", ETA {span_of(progress.get('etaSeconds'))}"
        state, left = visible(state_of(job)), progress_of(job) + eta
        if err.is_terminal and self._line is not None:
            done, total = progress["processed"], progress.get("total")
            self._progress.update(self._line, completed=done, total=total, state=state, left=left)
        elif (state, progress["processed"]) != self._said:
            self._said = (state, progress["processed"])
            err.print(Text(f"{state}: {left}"))

"""``python -m tests.processes.server HOME``: a package, since multiprocessing would re-run a module in every child."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from runner.errors import RunnerError
from tests.processes.conftest import Jobs


def main() -> None:
    settings = json.loads(sys.argv[2])
    jobs = Jobs(Path(sys.argv[1]), **settings)
    jobs.open()
    _say(None)
    for line in sys.stdin:
        verb, arguments = json.loads(line)
        try:
            _say(_do(jobs, verb, arguments))
        except RunnerError as error:
            _say({"error": str(error)})


def _do(jobs: Jobs, verb: str, arguments: dict[str, object]) -> object:
    if verb == "start":
        return jobs.start(**arguments)  # type: ignore[arg-type]
    if verb == "cancel":
        return jobs.manager.cancel(str(arguments["job_id"]), "me").status
    if verb == "drain":
        return jobs.drain()
    if verb == "begin_program":
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        return subprocess.Popen(
            command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ).pid
    raise ValueError(verb)


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""The peers, inside their own virtual environment: ``-m scripts.bench_peer_apps worker|client rq|celery|huey PORT``.

Nothing of the runner is imported here. A client reads one JSON list a line, ``["start", WORK, PIPE]`` or
``["cancel", ID]``, and answers ``[id, monotonic nanoseconds before the call]``; its first line is the version.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
import time
from typing import Any, Protocol

from scripts.bench_peer_work import WORK

SLOTS = 4
"""How many jobs a peer can run at once: processes that it keeps for them."""


class Peer(Protocol):
    def work(self) -> None:
        """The worker: runs until it is ended."""

    def start(self, work: str, pipe: str) -> str:
        """Returns the id."""

    def cancel(self, job_id: str) -> str:
        """Ends a running job by force, as its documentation says; returns the id."""


class Rq:
    def __init__(self, port: int) -> None:
        self._redis: Any = importlib.import_module("redis").Redis(port=port)
        self._queue: Any = importlib.import_module("rq").Queue("bench", connection=self._redis)

    def work(self) -> None:
        pool = importlib.import_module("rq.worker_pool").WorkerPool(["bench"], self._redis, num_workers=SLOTS)
        pool.start(logging_level="ERROR")

    def start(self, work: str, pipe: str) -> str:
        return str(self._queue.enqueue(WORK[work], pipe, job_timeout=3600).id)

    def cancel(self, job_id: str) -> str:
        importlib.import_module("rq.command").send_stop_job_command(self._redis, job_id)
        return job_id


class Celery:
    def __init__(self, port: int) -> None:
        self._app: Any = importlib.import_module("celery").Celery("bench", broker=f"redis://127.0.0.1:{port}/0")
        self._app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1)
        for name, work in WORK.items():
            self._app.task(name=name)(work)
        self._app.finalize()

    def work(self) -> None:
        quiet = ("--without-gossip", "--without-mingle", "--loglevel=ERROR")
        self._app.worker_main(["worker", "--pool=prefork", f"--concurrency={SLOTS}", *quiet])

    def start(self, work: str, pipe: str) -> str:
        return str(self._app.send_task(work, [pipe]).id)

    def cancel(self, job_id: str) -> str:
        self._app.control.revoke(job_id, terminate=True, signal="SIGKILL")
        return job_id


class Huey:
    def __init__(self, port: int) -> None:
        self._huey: Any = importlib.import_module("huey").RedisHuey("bench", host="127.0.0.1", port=port, results=False)
        self._work = {name: self._huey.task(name=name)(work) for name, work in WORK.items()}

    def work(self) -> None:
        self._huey.create_consumer(workers=SLOTS, worker_type="process", periodic=False).run()

    def start(self, work: str, pipe: str) -> str:
        return str(self._work[work](pipe))

    def cancel(self, job_id: str) -> str:
        raise NotImplementedError(f"Huey cannot end a running job such as {job_id}")


PEERS: dict[str, type[Rq] | type[Celery] | type[Huey]] = {"rq": Rq, "celery": Celery, "huey": Huey}


def answer(peer: Peer) -> None:
    """Until its input is closed."""
    for line in sys.stdin:
        verb, *given = json.loads(line)
        began = time.monotonic_ns()
        said = peer.start(*given) if verb == "start" else peer.cancel(*given)
        print(json.dumps([said, began]), flush=True)


def main(part: str, name: str, port: str) -> None:
    peer = PEERS[name](int(port))
    if part == "worker":
        peer.work()
    else:
        print(json.dumps(importlib.metadata.version(name)), flush=True)
        answer(peer)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A module that starts a thread when it is imported, and a job that needs an answer of that thread."""

from __future__ import annotations

import queue
import threading

from runner.context import JobContext
from runner.job import JsonDict
from runner.workflow import JobConfig, workflow

questions: queue.Queue[int] = queue.Queue()
answers: queue.Queue[int] = queue.Queue()


def answer() -> None:
    while True:
        answers.put(questions.get() * 2)


threading.Thread(target=answer, name="answerer", daemon=True).start()


class AskConfig(JobConfig):
    """Nothing is asked for."""


@workflow("asks_a_thread", config=AskConfig, resumable=True)
def asks_a_thread(_job: JobContext, _config: AskConfig) -> JsonDict:
    questions.put(21)
    return {"answer": answers.get()}

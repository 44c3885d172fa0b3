"""Workflows that ``assert_stop_safe`` is tried on: some that can be stopped anywhere, and some with a planted fault."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import Field
from sqlalchemy import text

from runner.batch import Batch
from runner.context import JobContext
from runner.job import JsonDict
from runner.ledger import REQUEUED
from runner.store import Transaction
from runner.stores.batches import LedgerItem
from runner.testing import World
from runner.workflow import JobConfig, JobStopped, workflow


class SampleConfig(JobConfig):
    total: int = Field(5, ge=0)
    batch_size: int = Field(2, ge=1)
    delay_ms: int = Field(0, ge=0)


def act(job: JobContext, effect: str) -> None:
    """Something that is done outside, and cannot be undone."""
    with (job.settings.home / "effects.txt").open("a") as file:
        file.write(f"{effect}\n")


def act_on(job: JobContext, batch: Batch[int]) -> None:
    for item in batch.items:
        act(job, f"item {item}")


def batches(job: JobContext, config: SampleConfig) -> Iterator[Batch[int]]:
    return job.batches(range(config.total), size=config.batch_size, delay_ms=config.delay_ms, total=config.total)


# -- clean -----------------------------------------------------------------------------------------------------------


@workflow("clean_count", config=SampleConfig, resumable=True)
def count(job: JobContext, config: SampleConfig) -> None:
    for batch in batches(job, config):
        job.result["counted"] = job.result.get("counted", 0) + len(batch.items)


@workflow("clean_index", config=SampleConfig, resumable=True)
def index(job: JobContext, config: SampleConfig) -> None:
    """To index an item twice does no harm."""
    for batch in batches(job, config):
        act_on(job, batch)


@workflow("clean_report", config=SampleConfig, resumable=True)
def report(job: JobContext, config: SampleConfig) -> JsonDict:
    """Without batches: it notes itself how far it has come."""
    for number in range(job.result.get("read", 0), config.total):
        job.checkpoint(f"page {number}")
        job.report(processed=number + 1)
        job.result.update(read=number + 1, sum=job.result.get("sum", 0) + number)
        job.commit()
    return {"mean": job.result["sum"] / config.total}


@workflow("clean_words", config=SampleConfig, resumable=True)
def words(job: JobContext, config: SampleConfig) -> JsonDict:
    """A generator that tells how long the words are; what it found is kept with each batch."""
    source = ("a" * (number % 3 + 1) for number in range(config.total))
    for batch in job.batches(source, size=config.batch_size):
        lengths: dict[str, int] = job.result.setdefault("lengths", {})
        for word in batch.items:
            lengths[word] = lengths.get(word, 0) + 1
    return {"different": len(job.result["lengths"])}


@workflow("clean_patient", config=SampleConfig, resumable=True)
def patient(job: JobContext, config: SampleConfig) -> None:
    """Every first question is refused; now and then it waits, and says why."""
    refused: set[int] = set()

    def ask(number: int) -> int:
        if number not in refused:
            refused.add(number)
            raise ConnectionError
        return number * number

    for batch in batches(job, config):
        squares = [job.retrying(partial(ask, item), on=ConnectionError) for item in batch.items]
        job.result["squares"] = [*job.result.get("squares", []), *squares]
        batch.commit()
        job.wait_visibly(20.0, "they asked for a pause")


@dataclass(frozen=True)
class Letter:
    key: int
    to: str


def letters_to(*names: str) -> Callable[[World], None]:
    """A world with letters to be sent."""

    def setup(world: World) -> None:
        with world.store.write() as tx:
            tx.connection.execute(text('CREATE TABLE letters ("key" INTEGER PRIMARY KEY AUTOINCREMENT, "to" TEXT)'))
            tx.connection.execute(text('INSERT INTO letters ("to") VALUES (:name)'), [{"name": name} for name in names])

    return setup


def find_out(job: JobContext, batch: Batch[Letter], _config: SampleConfig) -> None:
    """What is in the outbox was sent; what is not is put to the end of the queue, under a new key."""
    job.wait_until_over(batch)
    path = job.settings.home / "effects.txt"
    sent = path.read_text().splitlines() if path.exists() else []

    def book(tx: Transaction) -> Iterator[LedgerItem]:
        for item in batch.open:
            take_out(tx, item.data["to"])
            if item.data["to"] not in sent:
                tx.connection.execute(text('INSERT INTO letters ("to") VALUES (:name)'), {"name": item.data["to"]})
            yield LedgerItem(item.key, "sent" if item.data["to"] in sent else REQUEUED, item.data)

    batch.commit(book)


def take_out(tx: Transaction, name: str) -> None:
    tx.connection.execute(text('DELETE FROM letters WHERE "to" = :name'), {"name": name})


def sent_letters(_job: Any, items: Any) -> JsonDict:
    return {"sent": sorted(item.data["to"] for item in items if item.outcome == "sent")}


@workflow("clean_post", config=SampleConfig, resumable=True, settle=find_out, result=sent_letters)
def post(job: JobContext, config: SampleConfig) -> None:
    """A queue that shrinks, walked by key; each letter is written down before it is sent, and sent once."""

    def waiting(after: int | None, size: int) -> Sequence[Letter]:
        query = text('SELECT "key", "to" FROM letters WHERE "key" > :after ORDER BY "key" LIMIT :size')
        with job.store.read() as tx:
            return [Letter(*row) for row in tx.connection.execute(query, {"after": after or 0, "size": size})]

    for batch in job.batches(waiting, size=config.batch_size, delay_ms=config.delay_ms):
        send(job, batch)


def send(job: JobContext, batch: Batch[Letter]) -> None:
    items = [LedgerItem(str(letter.key), data={"to": letter.to}) for letter in batch.items]
    batch.intend(items, deadline_seconds=5)

    def call(_seconds_left: Callable[[], float]) -> dict[str, str]:
        for letter in batch.items:
            act(job, letter.to)
        return {str(letter.key): "sent" for letter in batch.items}

    outcomes = batch.call(call)

    def book(tx: Transaction) -> Iterator[LedgerItem]:
        for item in items:
            take_out(tx, item.data["to"])
            yield LedgerItem(item.key, outcomes[item.key], item.data)

    batch.commit(book)


# -- with a planted fault --------------------------------------------------------------------------------------------


@workflow("outside", config=SampleConfig, resumable=True)
def outside(job: JobContext, config: SampleConfig) -> None:
    """An effect outside a batch."""
    act(job, "told them that it begins")
    for batch in batches(job, config):
        act_on(job, batch)


@workflow("local_state", config=SampleConfig, resumable=True)
def local_state(job: JobContext, config: SampleConfig) -> JsonDict:
    """State kept in a local across batches."""
    counted = 0
    for batch in batches(job, config):
        counted += len(batch.items)
    return {"counted": counted}


@workflow("in_finally", config=SampleConfig, resumable=True)
def in_finally(job: JobContext, config: SampleConfig) -> None:
    """An effect in ``finally``, after a stop."""
    told = False
    try:
        for batch in batches(job, config):
            act_on(job, batch)
        told = True
        act(job, "told them that it is over")
    finally:
        if not told:
            act(job, "told them that it is over")


@workflow("commits_after_the_stop", config=SampleConfig, resumable=True)
def commits_after_the_stop(job: JobContext, config: SampleConfig) -> None:
    try:
        for batch in batches(job, config):
            job.result["counted"] = job.result.get("counted", 0) + len(batch.items)
    except BaseException:
        job.result["note"] = "was stopped"
        job.commit()
        raise


@workflow("unsettled", config=SampleConfig, resumable=True)
def unsettled(job: JobContext, config: SampleConfig) -> None:
    """Sends each once, or so it thinks: nothing was written down before."""
    for batch in batches(job, config):
        act_on(job, batch)


def _act_and_book(job: JobContext, batch: Batch[int], _tx: Transaction) -> None:
    act_on(job, batch)


@workflow("acts_in_the_book", config=SampleConfig, resumable=True)
def acts_in_the_book(job: JobContext, config: SampleConfig) -> None:
    """The effect comes in the middle of the commit."""
    for batch in batches(job, config):
        batch.commit(partial(_act_and_book, job, batch))


@workflow("too_late", config=SampleConfig, resumable=True)
def too_late(job: JobContext, config: SampleConfig) -> None:
    """Done after it was booked as done."""
    for batch in batches(job, config):
        batch.commit()
        act_on(job, batch)


@workflow("other_error", config=SampleConfig, resumable=True)
def other_error(job: JobContext, config: SampleConfig) -> None:
    try:
        count(job, config)
    except JobStopped as stop:
        raise RuntimeError("I was not done yet") from stop


@workflow("deaf", config=SampleConfig, resumable=True)
def deaf(job: JobContext, _config: SampleConfig) -> None:
    """Asks until it gets an answer; a stop is none."""
    answered = False
    while not answered:
        with contextlib.suppress(BaseException):
            job.checkpoint()
            answered = True


@workflow("no_checkpoint", config=SampleConfig, resumable=True)
def no_checkpoint(job: JobContext, config: SampleConfig) -> None:
    for number in range(config.total):
        job.result["read"] = number
        job.commit()


@workflow("never_the_same", config=SampleConfig, resumable=True)
def never_the_same(job: JobContext, _config: SampleConfig) -> JsonDict:
    job.checkpoint()
    return {"job": job.id}


@workflow("breaks", config=SampleConfig, resumable=True)
def breaks(job: JobContext, _config: SampleConfig) -> None:
    job.checkpoint()
    raise LookupError("there is no such page")


@workflow("from_the_start", config=SampleConfig)
def from_the_start(job: JobContext, config: SampleConfig) -> None:
    """Not resumable: a crash is its end."""
    count(job, config)

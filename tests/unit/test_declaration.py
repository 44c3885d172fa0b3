"""What ``@workflow`` refuses, at the import of the module that says it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from runner.context import JobContext
from runner.workflow import JobConfig, Misdeclared, workflow
from runner.workflow import _registry as registry  # what a test declares is taken out again


class PlainConfig(JobConfig):
    size: int = 1


class StartConfig(JobConfig):
    timeout_ms: int = 1


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic says something, too

    class ShadowConfig(JobConfig):
        on_wire: str = ""  # type: ignore[assignment]


class TwiceConfig(JobConfig):
    batch_size: int = 1
    batchSize: int = 2  # noqa: N815 - the fault


class SizeOptions(JobConfig):
    size: int = 1


class BusyOptions(JobConfig):
    if_busy: str = ""


def fine(_job: JobContext, _config: Any) -> None:
    """Does nothing."""


async def coroutine(_job: JobContext, _config: Any) -> None:
    """Does nothing."""


async def async_generator(_job: JobContext, _config: Any) -> AsyncIterator[int]:
    yield 1


def generator(_job: JobContext, _config: Any) -> Iterator[int]:
    yield 1


def too_few(_job: JobContext) -> None:
    """Does nothing."""


def too_many(_job: JobContext, _config: Any, _more: int) -> None:
    """Does nothing."""


class Runs:
    def __init__(self, job: JobContext, config: Any) -> None:
        """Does nothing."""


class Called:
    async def __call__(self, _job: JobContext, _config: Any) -> None:
        """Does nothing."""


@pytest.fixture(autouse=True)
def registered() -> Iterator[dict[str, Any]]:
    before = dict(registry)
    yield registry
    registry.clear()
    registry.update(before)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (coroutine, "not an async one"),
        (async_generator, "not an async one"),
        (Called(), "not an async one"),
        (partial(coroutine), "not an async one"),
        (generator, "has a yield in it"),
        (Runs, "not a class"),
        (too_few, r"must be callable as a function \(job, config\)"),
        (too_many, "must be callable"),
        ("text", "not str"),
        (None, "not NoneType"),
    ],
    ids=lambda given: getattr(given, "__name__", None) or type(given).__name__,
)
def test_what_cannot_be_run_is_refused(run: Any, words: str) -> None:
    with pytest.raises(Misdeclared, match=words):
        workflow("odd", config=PlainConfig)(run)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("odd", {"resumeable": True}, "there is no option 'resumeable'; did you mean 'resumable'"),
        ("odd", {"zzz": 1}, "there is no option 'zzz'; there are config"),
        ("odd", {"resumable": "yes"}, "resumable is True or False"),
        ("odd", {"config": PlainConfig()}, "a class that inherits from JobConfig"),
        ("odd", {"config": dict}, "a class that inherits from JobConfig, not dict"),
        ("odd", {"options": dict}, "options is a class"),
        ("odd", {"config": StartConfig}, "timeoutMs is a start option"),
        ("odd", {"config": ShadowConfig}, "may not be called on_wire"),
        ("odd", {"config": TwiceConfig}, "batch_size and batchSize have the same name"),
        ("odd", {"options": SizeOptions}, "size is both a config field and an option"),
        ("odd", {"options": BusyOptions}, "ifBusy is an option of every start"),
        ("odd", {"lock": "key"}, "lock is a function"),
        ("odd", {"lock": fine}, r"lock must be callable as a function \(config\)"),
        ("odd", {"settle": coroutine}, "settle is a function"),
        ("odd", {"settle": fine}, "settle must be callable"),
        ("odd", {"grace_seconds": -1}, "grace_seconds is a number"),
        ("odd", {"grace_seconds": float("inf")}, "grace_seconds is a number"),
        ("odd", {"grace_seconds": True}, "grace_seconds is a number"),
        ("", {}, "its name is a text"),
        ("x" * 101, {}, "its name is a text"),
        ("a\nb", {}, "its name is a text"),
        (" a", {}, "its name is a text"),
        (None, {}, "its name is a text"),
    ],
)
def test_what_is_said_wrong_is_refused_with_a_sentence(name: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(Misdeclared, match=words):
        workflow(name, **{"config": PlainConfig, **arguments})(fine)


def test_a_name_belongs_to_one_type(registered: dict[str, Any]) -> None:
    def other(_job: JobContext, _config: Any) -> None:
        """Does nothing."""

    workflow("mine", config=PlainConfig)(fine)
    with pytest.raises(Misdeclared, match=r"two workflows have this name: .*fine, line \d+, and .*other, line"):
        workflow("mine", config=PlainConfig)(other)
    assert registered["mine"].run is fine


def test_a_module_may_be_loaded_again() -> None:
    def load() -> Callable[..., Any]:
        def again(_job: JobContext, _config: Any) -> None:
            """Does nothing."""

        return again

    for _ in range(2):
        workflow("again", config=PlainConfig)(load())

"""What a type of job is: ``@workflow`` over a function, and a ``JobConfig`` that says what it takes.

class ReindexConfig(JobConfig):
    batch_size: int = Field(ge=1)

@workflow("reindex", config=ReindexConfig, resumable=True)
def reindex(job: JobContext, config: ReindexConfig) -> None:
    for batch in job.batches(range(1000), size=config.batch_size, total=1000):
        index(batch.items)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Never, TypeVar

from runner.config import JobConfig
from runner.declaration import START_OPTIONS, Misdeclared, check_arguments, check_run, same_place, where
from runner.job import Job, JsonDict
from runner.loading import ENTRY_POINTS, load_workflows
from runner.settings import Settings
from runner.store import Transaction
from runner.stores.batches import LedgerItem

if TYPE_CHECKING:
    from runner.batch import Batch
    from runner.context import JobContext

__all__ = [
    "ENTRY_POINTS",
    "START_OPTIONS",
    "JobConfig",
    "JobStopped",
    "Misdeclared",
    "Workflow",
    "find_workflow",
    "grace_of",
    "load_workflows",
    "workflow",
    "workflow_names",
]

log = logging.getLogger(__name__)


class JobStopped(BaseException):
    """The job must stop here: raised by ``checkpoint``, ``sleep`` and the step to the next batch, and by nothing else.

    Not an ``Exception``, so that a careless ``except Exception`` cannot swallow it. Let it pass.
    """


Config = TypeVar("Config", bound=JobConfig)
Run = Callable[["JobContext", Config], JsonDict | None]


@dataclass(frozen=True)
class Workflow:
    """A registered type. The fields are the arguments of ``@workflow``."""

    name: str
    run: Callable[[JobContext, Any], JsonDict | None]
    config: type[JobConfig]
    options: type[JobConfig] | None = None
    lock: Callable[[Any], str | None] | None = None
    grace_seconds: Callable[[Any, Settings], float] | float | None = None
    resumable: bool = False
    retries_anew: Callable[[Any], bool] | None = None
    settle: Callable[[JobContext, Batch[Any], Any], None] | None = None
    result: Callable[[Job, Iterable[LedgerItem]], JsonDict] | None = None
    check: Callable[[Any, Settings], None] | None = None
    admit: Callable[[Transaction, str, Any, Any], None] | None = None
    foretell: Callable[[Transaction, Settings, Any, Any], JsonDict] | None = None

    def grace(self, config: JobConfig, settings: Settings) -> float:
        """Seconds between a cancel and SIGTERM."""
        if self.grace_seconds is None:
            return settings.grace_seconds
        if callable(self.grace_seconds):
            return max(settings.grace_seconds, self.grace_seconds(config, settings))
        return self.grace_seconds

    def goes_on(self, config: JobConfig) -> bool:
        """Whether a retry of a job with this config goes on where that stopped; else it begins anew."""
        return self.resumable and not (self.retries_anew is not None and self.retries_anew(config))


_registry: dict[str, Workflow] = {}


def workflow(  # noqa: PLR0913 - each is one thing that a type may want to say
    name: str,
    *,
    config: type[Config],
    options: type[JobConfig] | None = None,
    lock: Callable[[Config], str | None] | None = None,
    grace_seconds: Callable[[Config, Settings], float] | float | None = None,
    resumable: bool = False,
    retries_anew: Callable[[Config], bool] | None = None,
    settle: Callable[[JobContext, Batch[Any], Config], None] | None = None,
    result: Callable[[Job, Iterable[LedgerItem]], JsonDict] | None = None,
    check: Callable[[Config, Settings], None] | None = None,
    admit: Callable[[Transaction, str, Config, Any], None] | None = None,
    foretell: Callable[[Transaction, Settings, Config, Any], JsonDict] | None = None,
    **unknown: Never,
) -> Callable[[Callable[[JobContext, Config], JsonDict | None]], Callable[[JobContext, Config], JsonDict | None]]:
    """Registers the function below as the type ``name``. Raises Misdeclared for what could not be run.

    config: the ``JobConfig`` it takes.
    options: a ``JobConfig`` of start options of its own, beside the config.
    lock: config -> key; at most one job holds a key at a time, others wait.
    grace_seconds: between a cancel and SIGTERM; a number, or (config, settings) -> number. Default: the setting.
    resumable: after a crash or a drain it goes on at its last commit; else it is ``failed`` ("interrupted").
    settle: (job, batch, config) finds out what became of a batch left open. Without it, a batch open at a crash
        runs again: at least once.
    retries_anew: config -> whether the retry of such a job begins anew though the type is resumable: where what it
        brings must be whole, as of a dry run.
    result: (job, ledger items) -> the result's entries that are put together when asked for.
    check: (config, settings) raises InvalidFields for limits that come from settings.
    admit: (transaction, job id, config, options) looks at the store in the transaction that writes the job, and may
        raise NotFound, Conflict or InvalidFields.
    foretell: (transaction, settings, config, options) -> what can be said at the start of how it will go; the job's
        result begins with it. May raise NotFound.
    """
    arguments: JsonDict = {
        **{"options": options, "lock": lock, "grace_seconds": grace_seconds, "resumable": resumable},
        **{"retries_anew": retries_anew, "settle": settle, "result": result, "check": check},
        **{"admit": admit, "foretell": foretell},
    }
    check_arguments(name, config, arguments | unknown)

    def register(
        run: Callable[[JobContext, Config], JsonDict | None],
    ) -> Callable[[JobContext, Config], JsonDict | None]:
        check_run(name, run)
        known = _registry.get(name)
        if known is not None and not same_place(known.run, run):
            raise Misdeclared(name, f"two workflows have this name: {where(known.run)}, and {where(run)}")
        _registry[name] = Workflow(name, run, config, **arguments)
        return run

    return register


def find_workflow(name: str) -> Workflow | None:
    return _registry.get(name)


def grace_of(job: Job, settings: Settings) -> float:
    """Seconds between a stop of this job and SIGTERM. A config that its type no longer takes hinders no stop."""
    found = find_workflow(job.type)
    if found is None:
        return settings.grace_seconds
    try:
        return found.grace(found.config.from_wire(job.config), settings)
    except Exception:
        log.exception("The grace period of %s cannot be told", job.id)
        return settings.grace_seconds


def workflow_names() -> list[str]:
    return sorted(_registry)

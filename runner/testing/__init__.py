"""Testing that a workflow can be stopped anywhere: ``assert_stop_safe``, in any test, or as a fixture of pytest.

It runs the workflow once, undisturbed, and notes each place it comes to: every checkpoint, every sleep, and both
sides of every write of its ledger. Then it runs it again for each place and each way: cancelled there (looked at, and
then retried), paused and resumed, killed with SIGKILL, killed twice. Every run is a process of its own on a database
of its own; sleeps take no time. A whole test:

    from pydantic import Field

    from runner.context import JobContext
    from runner.testing import End
    from runner.workflow import JobConfig, workflow


    class ReindexConfig(JobConfig):
        batch_size: int = Field(ge=1)


    @workflow("reindex", config=ReindexConfig, resumable=True)
    def reindex(job: JobContext, config: ReindexConfig) -> None:
        for batch in job.batches(range(7), size=config.batch_size, total=7):
            with (job.settings.home / "effects.txt").open("a") as index:
                index.writelines(f"{page}\\n" for page in batch.items)
            job.result["pages"] = job.result.get("pages", 0) + len(batch.items)


    def every_page_that_is_counted_is_there(end: End) -> None:
        assert end.result.get("pages", 0) <= len(set(end.effects))


    def test_reindex_is_stop_safe(assert_stop_safe):
        assert_stop_safe(
            reindex, {"batchSize": 3}, every_page_that_is_counted_is_there, at_least_once=True
        )

The invariant is optional. These are looked at in any case: what goes on after the interruption ends as the
undisturbed run does, with the same result and the same effects, none lost and none twice (``at_least_once`` lets the
batch in hand be done again after a kill); and once the stop is seen nothing is written any more, neither in the store
nor in the folder.

An effect is a line of ``effects.txt`` in the run's home folder, or whatever ``effects=`` reads elsewhere. It must be
outside memory. In place of the outside world a workflow gets a stand-in that notes there what it is asked for. Choose
a config with two or three batches: each batch has about ten places, and each place costs about half a second.

Not tried: a kill between two lines of the workflow's own that have no place between them, a stop in the middle of a
call, a second stop of the run that goes on (only a second kill), and what threads of the workflow do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.testing.places import Way
    from runner.testing.safety import Examined, NotStopSafe, assert_stop_safe
    from runner.testing.trial import End
    from runner.testing.world import World

__all__ = ["End", "Examined", "NotStopSafe", "Way", "World", "assert_stop_safe"]

_HOMES = {"Way": "places", "End": "trial", "World": "world"}


def __getattr__(name: str) -> Any:
    """Looked up when asked for: pytest loads its plugins at each start, and most starts do not need this one."""
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"runner.testing.{_HOMES.get(name, 'safety')}"), name)

"""A gap that nobody has noted yet: the server was away or the machine suspended, and a job judges before it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from runner.clock import Clock
from runner.groups.group import GroupRows
from runner.groups.judgement import look_again
from runner.groups.missed import Missed
from runner.groups.queue import QueueRows
from runner.manager import JobManager
from runner.settings import Settings
from runner.stores.group_schema import observations
from tests.unit.groupstore import DAY, NOW, WA_ID
from tests.webhooks.days import WINDOW, Days
from tests.webhooks.kept import HOUR, MINUTE, Kept
from tests.webhooks.samples import connection
from tests.webhooks.test_groups_heard import NO_MESSAGE_OF_A_GROUP
from web.configuration import WrongConfiguration
from web.server import open_manager


def going_on(kept: Kept) -> int:
    with kept.store.read() as tx:
        query = select(func.count()).select_from(observations).where(observations.c.live)
        return tx.connection.execute(query).scalar_one()


def _nobody_took_events_in(days: Days) -> None:
    days.kept.now += 11 * MINUTE


def _the_connection_was_down(days: Days) -> None:
    days.kept.receive(connection("close"))
    days.pass_quietly(9 * MINUTE)
    days.kept.now += 2 * MINUTE


def _no_group_was_heard(days: Days) -> None:
    days.hear_only(NO_MESSAGE_OF_A_GROUP["presence"], days.kept.now + 12 * HOUR)
    days.kept.now += 1


@pytest.mark.parametrize("happens", [_nobody_took_events_in, _the_connection_was_down, _no_group_was_heard])
def test_nobody_is_removed_over_it(days: Days, happens: object) -> None:
    days.hear_until(NOW + WINDOW + 12 * HOUR)
    assert days.queued() == 1
    assert callable(happens)
    happens(days)
    assert going_on(days.kept) == 1
    assert days.kept.watch() is None
    with days.kept.tx() as tx:
        group = GroupRows(tx).get(WA_ID)
        (finding,) = look_again(tx, group, QueueRows(tx).list(group), DAY)
    assert (finding.outcome, finding.stays) == ("skipped", True)


def test_what_is_shorter_is_none(days: Days) -> None:
    days.hear_until(NOW + WINDOW)
    days.kept.now += 9 * MINUTE
    assert days.kept.watch() is not None


def test_an_export_bridges_it_only_from_the_last_message_of_a_group(days: Days) -> None:
    days.hear_until(NOW + WINDOW)
    _no_group_was_heard(days)
    days.kept.observed(NOW + WINDOW + HOUR, days.kept.now, "a late chat export")
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == NOW + WINDOW + HOUR
    days.kept.observed(NOW + WINDOW - HOUR, days.kept.now, "chat export")
    watch = days.kept.watch()
    assert watch is not None
    assert watch.since == NOW


def test_a_server_notes_it_before_any_job_goes_on(days: Days, tmp_path: Path) -> None:
    """By workflows that do not load: no job was started, and the gap is told already."""
    days.hear_until(NOW + HOUR)
    assert going_on(days.kept) == 1
    settings = Settings(home=tmp_path, database_url=days.kept.store.url, workflows="there_is_no_such_module")
    manager = JobManager(settings, clock=Clock(lambda: NOW + 3 * HOUR))
    with pytest.raises(WrongConfiguration):
        open_manager(manager, Missed())
    manager.close()
    assert going_on(days.kept) == 0

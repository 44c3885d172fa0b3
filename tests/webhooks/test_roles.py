"""Roles, as events tell of them, in any order, and as somebody sets them by hand."""

from __future__ import annotations

import pytest

from runner.groups.member import MemberEntry, MemberRows
from tests.webhooks.kept import Kept
from tests.webhooks.test_incoming import ANA, BO, moved


def test_roles_are_what_they_were_made(kept: Kept) -> None:
    kept.put(MemberEntry(lid=ANA))
    kept.put(MemberEntry(lid=BO, role="superadmin"))
    kept.receive(moved("promote", ANA), moved("promote", BO))
    assert (kept.member(ANA).role, kept.member(BO).role) == ("admin", "superadmin")
    kept.receive(moved("demote", ANA, stamp="2026-01-01T10:00:05.000Z"))
    assert kept.member(ANA).role == "member"


@pytest.mark.parametrize(("last", "role"), [("promote", "admin"), ("demote", "member")])
def test_a_role_of_before_changes_nothing(kept: Kept, last: str, role: str) -> None:
    """A gateway sends what was turned away again, later than what has come since."""
    before = "demote" if last == "promote" else "promote"
    kept.put(MemberEntry(lid=ANA))
    kept.receive(moved(last, ANA, stamp="2026-01-01T10:00:05.000Z"))
    kept.receive(moved(before, ANA, stamp="2026-01-01T10:00:04.000Z"))
    assert kept.member(ANA).role == role
    kept.receive(moved(before, ANA, stamp="2026-01-01T10:00:06.000Z"))
    assert kept.member(ANA).role != role


def test_whoever_is_new_by_their_role_has_it_of_then(kept: Kept) -> None:
    kept.receive(moved("promote", ANA, stamp="2026-01-01T10:00:05.000Z"))
    kept.receive(moved("demote", ANA, stamp="2026-01-01T10:00:04.000Z"))
    assert kept.member(ANA).role == "admin"


def test_a_role_given_by_hand_is_taken_by_no_event_of_before(kept: Kept) -> None:
    kept.put(MemberEntry(lid=ANA))
    with kept.store.write() as tx:
        MemberRows(tx).set_role(kept.group, kept.member(ANA).person_id, "admin")
    kept.receive(moved("demote", ANA, stamp="2026-01-01T10:00:04.000Z"))
    assert kept.member(ANA).role == "admin"

"""Faults planted into the shipped removal, to see that its oracle finds them and calls them by their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from runner.gateway import GroupGateway, Outcome, OutcomeKind, Participant
from runner.groups import judgement, settling
from runner.groups.booking import Answer
from runner.groups.judgement import Finding
from runner.groups.listing import Listed
from runner.groups.removal import Removal
from tests.simulation.planted import Planted
from tests.simulation.play import Scene
from tests.simulation.removal_deeds import REMOVALS, RemovalDeeds

_NOT_THE_LOG = frozenset({"the result equals the log", "the books equal the log"})


def _no_answer_is_a_removal(patch: pytest.MonkeyPatch) -> None:
    """``[]``, or no answer in time: the original's fault."""
    booked = Removal._booked

    def planted(removal: Removal, finding: Finding, answer: Answer | None) -> Any:
        said = answer.outcome if answer else None
        is_open = answer is None or (said is not None and said.kind is OutcomeKind.UNKNOWN)
        return booked(removal, finding, Answer(finding, Outcome(OutcomeKind.REMOVED)) if is_open else answer)

    patch.setattr(Removal, "_booked", planted)


def _put_back_unseen(patch: pytest.MonkeyPatch) -> None:
    """As if all were there still."""

    def planted(
        _gateway: GroupGateway, _store: object, _group: object, ids: Iterable[str | None], _wait: object
    ) -> Listed:
        return Listed({known: Participant(known, known, None, "member") for known in ids if known})

    patch.setattr(settling, "settling_listing", planted)


def _no_second_look_for_admins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Removal, "_list_again", lambda removal, _entries: removal._judged_by)


def _whitelist_forgotten(patch: pytest.MonkeyPatch) -> None:
    """It counts when the queue is filled, and not when it is worked off: the original's fault again."""
    protected = judgement._protected
    patch.setattr(judgement, "_protected", lambda row: None if row.whitelisted else protected(row))


class Slowed(RemovalDeeds):
    """The gateway asks for pause after pause, and nothing else is wrong with it."""

    def __init__(self, seed: object, *, wild: bool) -> None:
        super().__init__(seed, wild=wild)
        outside = self.world.outside
        outside.faults, outside.call_faults, outside.list_faults = 0.6, ("rate_overlimit",), ("transient",)


_FAULTY = replace(REMOVALS, deeds=10)
_MIX = {"start": 3, "pass_time": 3}

PLANTED = (
    Planted("no answer is booked as a removal", _no_answer_is_a_removal, _NOT_THE_LOG, _FAULTY),
    Planted(
        "whoever is unknown goes back to the queue without a fresh list",
        _put_back_unseen,
        _NOT_THE_LOG,
        replace(REMOVALS, mix={**_MIX, "cancel": 4, "kill_child": 3}),
    ),
    Planted(
        "before another try nobody looks whether somebody was made an admin",
        _no_second_look_for_admins,
        frozenset({"nobody exempt is touched"}),
        Scene({"promote": 8, "pass_time": 4}, deeds=24, wild=False, acting=Slowed),
    ),
    Planted(
        "whoever is whitelisted while in the queue is removed all the same",
        _whitelist_forgotten,
        frozenset({"nobody exempt is touched"}),
        replace(REMOVALS, mix={**_MIX, "whitelist": 6}),
    ),
)

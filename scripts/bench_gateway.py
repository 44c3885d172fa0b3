"""A gateway for the bench, ``scripts.bench_gateway:open_group``, whose groups are as large as their ids say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runner.clock import Clock
from runner.gateway import Connection, Listing, NotAdmin, Outcome, Participant
from runner.settings import Settings
from runner.store import Store

_FIRST_LID, _DIGITS = 10**14, 9


def group_of(size: int) -> str:
    """The id of the group with so many people, below a billion."""
    return f"120363{size:0{_DIGITS}d}@g.us"


def people_of(group_wa_id: str) -> list[tuple[str, str]]:
    """Their lids and numbers."""
    size = int(group_wa_id.removesuffix("@g.us")[-_DIGITS:])
    return [(f"{_FIRST_LID + number}@lid", f"5511{number:09d}@s.whatsapp.net") for number in range(size)]


class BenchGateway:
    """A ``GroupGateway`` that lists, and removes nobody."""

    via = "bench"
    call_seconds = 5.0

    def connection(self) -> Connection:
        return Connection(True, "made up")

    def list_group(self, group_wa_id: str) -> Listing:
        people = [Participant(lid, lid, pn, "member") for lid, pn in people_of(group_wa_id)]
        return Listing("made up", len(people), tuple(people))

    def remove(self, _group: str, _ids: Sequence[str], _seconds_left: Callable[[], float]) -> dict[str, Outcome]:
        raise NotAdmin("nobody is removed here")


def open_group(_settings: Settings, _store: Store, _clock: Clock) -> BenchGateway:
    return BenchGateway()

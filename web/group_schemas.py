"""Groups, people and lists as the client sees them, in the shapes of the bot before this one."""

from __future__ import annotations

from typing import Protocol

from runner.clock import iso
from runner.groups.group import Group
from runner.groups.history import HistoryEntry
from runner.groups.member import Member
from runner.groups.queue import QueueEntry
from runner.groups.whitelist import Standing, WhitelistEntry
from runner.job import JsonDict


class Person(Protocol):
    """Whoever stands in a row of a list."""

    @property
    def lid(self) -> str | None: ...

    @property
    def pn(self) -> str | None: ...

    @property
    def name(self) -> str | None: ...

    @property
    def shown_id(self) -> str: ...


def group_on_wire(group: Group) -> JsonDict:
    return _present(
        {
            "id": str(group.id),
            "whatsappId": group.wa_id,
            "name": group.name,
            "inactivityThresholdMinutes": group.inactivity_threshold_minutes,
            "createdAt": iso(group.created_at),
            "listedAt": _time(group.listed_at),
        }
    )


def person_on_wire(person: Person, person_id: int | None = None) -> JsonDict:
    """``whatsappId`` is the id the group lists, else the phone id."""
    return _present(
        {
            "id": None if person_id is None else str(person_id),
            "whatsappId": person.shown_id,
            "phoneNumber": person.pn,
            "name": person.name,
        }
    )


def member_on_wire(member: Member, group: Group) -> JsonDict:
    return _present(
        {
            "userId": str(member.person_id),
            "groupId": str(group.id),
            "role": member.role.upper(),
            "isMe": member.is_me or None,
            "joinDate": _time(member.joined_at),
            "firstSeenAt": iso(member.first_seen_at),
            "lastActiveAt": _time(member.last_active_at),
            "user": person_on_wire(member, member.person_id),
            "group": group_on_wire(group),
        }
    )


def queue_entry_on_wire(entry: QueueEntry, group: Group) -> JsonDict:
    """``inactivityWindowMs`` is absent for those whom somebody put there by hand."""
    return _present(
        {
            "id": str(entry.id),
            "userId": str(entry.person_id),
            "groupId": str(entry.group_id),
            "createdAt": iso(entry.created_at),
            "reason": entry.reason,
            "inactivityWindowMs": entry.window_ms,
            "lastActiveAt": _time(entry.last_active_at),
            "tries": entry.tries,
            "user": person_on_wire(entry, entry.person_id),
            "group": group_on_wire(group),
        }
    )


def whitelist_entry_on_wire(entry: WhitelistEntry, group: Group) -> JsonDict:
    return {
        "userId": str(entry.person_id),
        "groupId": str(entry.group_id),
        "createdAt": iso(entry.created_at),
        "user": person_on_wire(entry, entry.person_id),
        "group": group_on_wire(group),
    }


def standing_on_wire(standing: Standing) -> JsonDict:
    """``person`` is absent where nothing is known of them but what was given."""
    who = standing.person
    return _present(
        {
            "person": person_on_wire(who, who.person_id) if standing.is_known else None,
            "inGroup": standing.in_group,
            "mayAlsoBe": [person_on_wire(one, one.person_id) for one in standing.kin] or None,
            "note": standing.note,
        }
    )


def history_entry_on_wire(entry: HistoryEntry) -> JsonDict:
    """``via`` names the gateway: with ``roster`` nobody was told, a list was changed."""
    return _present(
        {
            "id": str(entry.id),
            "groupWaId": entry.group_wa_id,
            "user": person_on_wire(entry),
            "outcome": entry.outcome,
            "reason": entry.reason,
            "code": entry.code,
            "via": entry.via,
            "jobId": entry.job_id,
            "createdAt": iso(entry.at),
        }
    )


def _time(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)


def _present(entries: JsonDict) -> JsonDict:
    return {name: value for name, value in entries.items() if value is not None}

"""What came in by webhooks, taken in: activity, who came and went, roles and numbers.

Only of groups that are known here: of all others it is counted that something came, and nothing is kept. In whichever
order the same events come, and however often, what is known in the end is the same: each says when it was, activity
only ever widens, and whoever left and was heard later is back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Row, and_, bindparam, case, insert, select, update

from runner.groups.group import Group, GroupRows
from runner.groups.hearing import HearingRows, Limits
from runner.groups.moves import Moves
from runner.groups.tallies import TallyRows
from runner.groups.votes import PollRows
from runner.store import Transaction
from runner.stores.group_schema import memberships, people, roster_removals, webhook_messages
from runner.webhook import Event, Heard, Moved, Notice, Outcome, Sign
from runner.webhooks.fields import key_of

_CHUNK = 400
_TURNS = (Sign.OPENED, Sign.CLOSED, Sign.LOST, Sign.OUT)

Key = tuple[int, str]
Known = Row[Any]


class Incoming:
    """Notices that are taken in within one transaction."""

    def __init__(self, tx: Transaction, limits: Limits) -> None:
        self._tx = tx
        self._run = tx.connection.execute
        self._hearing = HearingRows(tx, limits)
        self._moves = Moves(tx, self._hearing)
        self._tallies: Counter[tuple[str, str]] = Counter()

    def take(self, notices: Sequence[Notice]) -> None:
        """All of them, in their order. What of them was known before changes nothing."""
        self._hear(notices)
        events = [(notice, event) for notice in notices for event in notice.events]
        groups = GroupRows(self._tx).known({event.group_wa_id for _, event in events})
        known = [event for _, event in events if event.group_wa_id in groups]
        seen = self._seen([(groups[event.group_wa_id].id, _key(event)) for event in known])
        fresh: list[tuple[Notice, Group, Event]] = []
        for notice, event in events:
            outcome = self._first_look(event, groups, seen)
            self._tallies[notice.event, outcome] += 1
            if outcome is Outcome.STORED:
                fresh.append((notice, groups[event.group_wa_id], event))
        self._remember(fresh)
        self._apply(fresh)
        for notice in notices:
            self._tallies.update((notice.event, outcome) for outcome in notice.left_out)
        TallyRows(self._tx).add(self._tallies)

    def _hear(self, notices: Iterable[Notice]) -> None:
        """One sign of life of each kind an account: of many at once the newest counts, and their order does not, but
        for what a connection says of itself, which counts in its order, as does all before and after it.
        """
        newest: dict[tuple[str, int, Sign, bool], int] = {}
        turns: Counter[str] = Counter()
        for one in notices:
            if one.account:
                turns[one.account] += one.sign in _TURNS
                kind = (one.account, turns[one.account], one.sign, one.tells_of_group)
                at = self._tx.now if one.told_at is None else one.told_at
                newest[kind] = max(at, newest.get(kind, at))
        for (account, _, sign, of_group), at in newest.items():
            self._hearing.event(account, sign, of_group=of_group, at=at)

    @staticmethod
    def _first_look(event: Event, groups: dict[str, Group], seen: set[Key]) -> Outcome:
        """``seen`` grows by what is new, so that of two alike at once only one is."""
        group = groups.get(event.group_wa_id)
        if group is None:
            return Outcome.UNKNOWN_GROUP
        key = _key(event)
        if key is None:
            return Outcome.STORED
        if (group.id, key) in seen:
            return Outcome.DUPLICATE
        seen.add((group.id, key))
        return Outcome.STORED

    def _seen(self, keys: Sequence[tuple[int, str | None]]) -> set[Key]:
        table = webhook_messages.c
        wanted = sorted({key for _, key in keys if key is not None})
        found: set[Key] = set()
        for start in range(0, len(wanted), _CHUNK):
            same = table.message_id.in_(wanted[start : start + _CHUNK])
            mine = table.group_id.in_({group for group, _ in keys})
            query = select(table.group_id, table.message_id).where(mine, same)
            found.update((row.group_id, row.message_id) for row in self._run(query))
        return found

    def _remember(self, fresh: Sequence[tuple[Notice, Group, Event]]) -> None:
        now = self._tx.now
        rows = [
            {"group_id": group.id, "message_id": key, "seen_at": now}
            for _, group, event in fresh
            if (key := _key(event))
        ]
        if rows:
            self._run(insert(webhook_messages), rows)

    def _apply(self, fresh: Sequence[tuple[Notice, Group, Event]]) -> None:
        """Who is known and only spoke again, all at once; what changes more than that, one by one after it."""
        polls = PollRows(self._tx)
        for _, group, event in fresh:
            if isinstance(event, Heard) and event.of_poll:
                polls.saw(group, event.at)
        spoken = [(group, event) for _, group, event in fresh if isinstance(event, Heard)]
        plain = Plain(self._tx, spoken)
        rest = [one for one in fresh if not (isinstance(one[2], Heard) and plain.take(one[1], one[2]))]
        plain.write()
        for notice, group, event in rest:
            if notice.account:
                self._hearing.belongs(group, notice.account, at=event.at)
            if isinstance(event, Heard):
                self._moves.heard(group, event)
            elif isinstance(event, Moved):
                self._moves.moved(group, event, notice.account)
            else:
                self._moves.renumbered(group, event)


def _key(event: Event) -> str | None:
    """By which it is known again. A message's with whoever wrote it: everybody gives their own whichever id they like,
    and one with that of another's would hide it where it comes first.
    """
    if not isinstance(event, Heard) or event.key is None or event.who is None:
        return event.key
    return key_of(event.key + ":" + (event.who.lid or event.who.pn or ""))


class Plain:
    """Those who are members here, known by just these ids, and were heard again: most of what comes in."""

    def __init__(self, tx: Transaction, spoken: Sequence[tuple[Group, Heard]]) -> None:
        self._run = tx.connection.execute
        self._known = self._look(spoken)
        self._times: dict[tuple[int, int], tuple[int, int]] = {}

    def take(self, group: Group, event: Heard) -> bool:
        """Whether this was all there is to it."""
        who = event.who
        if who is None or group.account is None:
            return False
        rows = {row.id: row for known in who.ids if (row := self._known.get((group.id, known)))}
        if len(rows) != 1:
            return False
        (row,) = rows.values()
        same_ids = who.lid in (None, row.lid) and who.pn in (None, row.pn)
        if not same_ids or (who.name and not row.name) or row.is_me != event.is_me:
            return False
        first, last = self._times.get((group.id, row.id), (event.at, event.at))
        self._times[group.id, row.id] = (min(first, event.at), max(last, event.at))
        return True

    def write(self) -> None:
        if self._times:
            rows = [
                {"g": group, "p": person, "first": first, "last": last}
                for (group, person), (first, last) in self._times.items()
            ]
            self._run(_WIDEN, rows)

    def _look(self, spoken: Sequence[tuple[Group, Heard]]) -> dict[tuple[int, str], Known]:
        """By group and id; nobody who has left or was taken off, since they would be back."""
        people_heard = [event.who for _, event in spoken if event.who]
        lids = sorted({who.lid for who in people_heard if who.lid})
        pns = sorted({who.pn for who in people_heard if who.pn})
        found: dict[tuple[int, str], Known] = {}
        for query, wanted in ((_BY_LID, lids), (_BY_PN, pns)):
            for start in range(0, len(wanted), _CHUNK):
                for row in self._run(query, {"ids": wanted[start : start + _CHUNK]}):
                    found |= {(row.group_id, known): row for known in (row.lid, row.pn) if known}
        return found


_OFF = and_(
    roster_removals.c.group_id == memberships.c.group_id, roster_removals.c.person_id == memberships.c.person_id
)
_PRESENT = (
    select(people.c.id, people.c.lid, people.c.pn, people.c.name, memberships.c.group_id, memberships.c.is_me)
    .select_from(people.join(memberships, memberships.c.person_id == people.c.id).outerjoin(roster_removals, _OFF))
    .where(memberships.c.left_at.is_(None), roster_removals.c.person_id.is_(None))
)

# By each id alone, and not by the group: SQLite would else look through all of a large group.
_BY_LID = _PRESENT.where(people.c.lid.in_(bindparam("ids", expanding=True)))
_BY_PN = _PRESENT.where(people.c.pn.in_(bindparam("ids", expanding=True)))

_first, _last = bindparam("first", type_=BigInteger), bindparam("last", type_=BigInteger)
_WIDEN = (
    update(memberships)
    .where(memberships.c.group_id == bindparam("g"), memberships.c.person_id == bindparam("p"))
    .values(
        first_active_at=case((memberships.c.first_active_at < _first, memberships.c.first_active_at), else_=_first),
        last_active_at=case((memberships.c.last_active_at > _last, memberships.c.last_active_at), else_=_last),
    )
)

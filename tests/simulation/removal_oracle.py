"""What must hold of removals, beyond what holds of every job: the books, the exempt, and what nobody knows yet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.oracle import Oracle
from tests.simulation.removal_gateway import Villages
from tests.simulation.rows import Row

if TYPE_CHECKING:
    from tests.simulation.gateway import Effect
    from tests.simulation.process import SimProcess

OLDEST_LISTING_SECONDS = 12.0
"""A removal is asked for by a list of the group that is no older: ten seconds, and what two calls take."""
FEW_MISSING = 5
"""So many of our members may be missing on a list that is believed by itself."""

_OPEN = "SELECT b.job_id, b.seq, json_extract(i.data, '$.id') FROM batches b JOIN batch_items i USING (job_id, seq)"
_OPEN += " WHERE b.state = 'open' AND i.state = 'open'"
_KNOWN = """
SELECT p.lid, m.role <> 'member', m.is_me, m.left_at IS NOT NULL,
    EXISTS (SELECT 1 FROM whitelist w WHERE w.group_id = m.group_id AND w.person_id = p.id),
    CASE WHEN q.window_ms IS NULL THEN m.last_active_at > q.created_at ELSE m.last_active_at > ? - q.window_ms END
FROM people p JOIN memberships m ON m.person_id = p.id
LEFT JOIN removal_queue q ON q.person_id = p.id AND q.group_id = m.group_id
WHERE p.lid IN (SELECT value FROM json_each(?))
"""
_MEMBERS = "SELECT p.lid FROM people p JOIN memberships m ON m.person_id = p.id WHERE m.left_at IS NULL"
_WHY_NOT = ("an admin, as the store knows", "ourselves", "gone, as the store knows", "on the whitelist", "heard since")
_NOBODY_CAN_TELL = "SELECT json_extract(data, '$.id') FROM batch_items WHERE outcome = 'given_up'"
_NOBODY_CAN_TELL += " AND json_extract(data, '$.reason') LIKE '%nobody can tell%'"
_TRIED = "SELECT p.lid FROM removal_queue q JOIN people p ON p.id = q.person_id WHERE q.tries > 0"


@dataclass
class RemovalOracle(Oracle):
    """``moved``: who left or came by themselves while nobody knew whether we had removed them, or had left before a
    call for them, by a list that showed them still; of them the books cannot be right but by luck.
    """

    moved: set[str] = field(default_factory=set)
    _effects: Counter[str] = field(default_factory=Counter)
    _exempt: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    _told: dict[SimProcess, tuple[float, set[tuple[str, int]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        assert isinstance(self.outside, Villages)
        self.villages = self.outside
        self.villages.listing, self.villages.listed = self.list_asked_for, self.true_list_given

    def moves(self, known: str) -> None:
        """Before somebody leaves or comes by themselves."""
        if known in self._tried() or any(known == one for _, _, one in self.connection.execute(_OPEN)):
            self.moved.add(known)

    def _tried(self) -> set[str]:
        """Who was asked for without an answer, was on the list after it, and stands in the queue once more."""
        return {known for (known,) in self.connection.execute(_TRIED)}

    def look(self) -> None:
        super().look()
        open_now: dict[tuple[str, int], list[str]] = {}
        for job_id, seq, known in self.connection.execute(_OPEN):
            open_now.setdefault((job_id, seq), []).append(known)
        there = set().union(*self.villages.groups.values())
        for known in (one for key, ids in open_now.items() if key not in self._exempt for one in ids):
            if known not in there and not self._effects[known]:
                self.moved.add(known)  # a crash before the call, once it is stamped, looks like one in it
        self._exempt = {key: self._exempt.get(key) or self._why_not(ids) for key, ids in open_now.items()}
        in_groups = Counter(self.rows[job_id].lock_key for job_id, _ in open_now if job_id in self.rows)
        for key, count in in_groups.items():
            if count > 1:
                self.found("at most one batch is unknown", f"{count} in {key}")

    def _why_not(self, ids: Iterable[str]) -> dict[str, str]:
        """Whom the store knows, in the commit of the intent, to be exempt; and why."""
        found = {"": ""}  # so that it is looked up once
        for known, *reasons in self.connection.execute(_KNOWN, (self.turns.now_ms(), json.dumps(list(ids)))):
            for is_so, words in zip(reasons, _WHY_NOT, strict=True):
                if is_so:
                    found[known] = words
        return found

    # -- at every call ---------------------------------------------------------------------------------------

    def call_begins(self, process: SimProcess, ids: Sequence[str]) -> None:
        super().call_begins(process, ids)
        assert process.run is not None
        there = set().union(*self.villages.groups.values())
        self.moved |= {known for known in ids if known not in there and not self._effects[known]}
        for key, exempt in self._exempt.items():
            if key[0] == process.run.job_id and (touched := exempt.keys() & set(ids)):
                self.found("nobody exempt is touched", str({known: exempt[known] for known in touched}))
        if process in self.villages.misled:
            return
        since = {known: self.villages.admin_since[known] for known in ids if known in self.villages.admin_since}
        for known, at in since.items():
            if self.turns.now - at > OLDEST_LISTING_SECONDS:
                self.found("nobody exempt is touched", f"{known} was made an admin {self.turns.now - at:.1f} s before")

    def acted(self, effect: Effect) -> None:
        if missing := set(effect.ids) - self._intended(effect.job_id):
            self.found("nothing is settled before its effect", f"{effect.job_id}: {sorted(missing)}")
        for known in effect.ids:
            self._effects[known] += 1
            if self._effects[known] > 1 and known not in self.moved:
                self.found("nobody is acted on twice", f"{known} by {effect.job_id}")

    def list_asked_for(self, process: SimProcess) -> None:
        """Whoever has had a true list of the group, after their call was over, need not ask for another; unless
        something has come between, such as a store that could not be read."""
        at, told = self._told.pop(process, (0.0, set()))
        left_open = told & {(job_id, seq) for job_id, seq, _ in self.connection.execute(_OPEN)}
        if left_open and at > self._calm_since:
            self.found("a true list settles", str(left_open))

    def true_list_given(self, process: SimProcess) -> None:
        """Not where many of our members are missing: whether to believe that is for people to say."""
        if process.run is not None and self.villages.counts and not self._are_many_missing():
            mine = process.run.job_id
            left_open = {(job_id, seq) for job_id, seq, _ in self.connection.execute(_OPEN) if job_id == mine}
            told = left_open if process.place != "between intent and call" else set()
            self._told[process] = (self.turns.now, told)

    def _are_many_missing(self) -> bool:
        there = set().union(*self.villages.groups.values())
        return sum(known not in there for (known,) in self.connection.execute(_MEMBERS)) > FEW_MISSING

    # -- when all has come to rest ---------------------------------------------------------------------------

    def judge_rest(self, slots_taken: int) -> None:
        super().judge_rest(slots_taken)
        booked = Counter(known for row in self.rows.values() for known in self._booked(row))
        given_up = {known for row in self.rows.values() for known in self._booked(row, "given_up")}
        # Of whom a list was wrong, the next job finds it out; unless it was wrong after their last call too.
        unsure = self.moved | (self.villages.shown_wrongly & (self._tried() | given_up)) | self._never_told()
        if wrong := {known for known in booked | self._effects if booked[known] != self._effects[known]} - unsure:
            said = {known: (booked[known], self._effects[known]) for known in sorted(wrong)}
            self.found("the books equal the log", f"(booked, done): {said}")

    def _judge_books(self, row: Row) -> None:
        """Each job has what it did itself; but of whom a list was wrong, another may have found them gone."""
        unsure = self.moved | self.villages.shown_wrongly | self._never_told()
        booked = sorted(known for known in self._booked(row) if known not in unsure)
        done = sorted(known for known in self._removed_by(row.id) if known not in unsure)
        if booked != done:
            self.found("the result equals the log", f"{row.id}: booked {booked}, done {done}")
        if not (row.is_over and row.epoch == 0) and not json.loads(row.config)["dryRun"]:
            self._judge_closed(row)

    def _never_told(self) -> set[str]:
        """Who was given up where the gateway has said, twice, that we are not in the group: nobody can tell of them."""
        if self.villages.met["without_us"] < 2:
            return set()
        return {known for (known,) in self.connection.execute(_NOBODY_CAN_TELL)}

    def _booked(self, row: Row, wanted: str = "removed") -> list[str]:
        return [known for outcome, known, _ in self._items(row) if outcome == wanted]

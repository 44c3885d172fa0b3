"""Whether those who wrote in an export are the group's people. Another group's chat would make all of these silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from runner.groups.group import Group

RECENT: Final = timedelta(days=60)
"""Before the last line of the export. Who wrote earlier only may have left before the first list was given here."""

_ENOUGH: Final = 4
_TOO_FEW_TO_JUDGE: Final = 1


@dataclass(frozen=True)
class PeopleFound:
    """Of those who wrote in the last 60 days of an export: ``known`` are or ever were in the group, ``others`` not.

    Names that nobody has answered for count neither way, nor do numbers in a group that was never listed; nor as many
    others as there are members whose number is not known, since these may be they.
    """

    known: int
    others: int

    @classmethod
    def of(cls, answers: Iterable[bool | None], members_without_number: int) -> Self:
        counts = Counter(answers)
        return cls(counts[True], max(0, counts[False] - members_without_number))

    @property
    def are_others(self) -> bool:
        """Fewer than half of at least four are known, or nobody of two or three. One may be the last who left."""
        placed = self.known + self.others
        return placed > _TOO_FEW_TO_JUDGE and (self.known == 0 or (placed >= _ENOUGH and 2 * self.known < placed))

    def refusal(self, file: str, chat_name: str | None, group: Group) -> str:
        """Sentences for whoever gave the file. ``chat_name``: what the file calls the chat, if it says."""
        placed = self.known + self.others
        said = f"it calls the chat {chat_name!r}" if chat_name else "it does not say what the chat is called"
        here = f"the group here is {group.name!r} ({group.wa_id})" if group.name else f"the group here is {group.wa_id}"
        of_these = f"{self.known} {'is or was a member' if self.known == 1 else 'are or were members'}"
        known = of_these if self.known else "nobody is or was a member"
        return (
            f"{file} looks like the chat of another group: of {placed} people who wrote in its last {RECENT.days} days "
            f"and of whom that can be said, {known} of this one. As for the name, {said}; {here}. Nothing was changed: "
            "all members would have looked silent. If the list of members here is old, take in a fresh one first "
            "('runner ingest', or 'runner import members'); if it is this group's chat all the same, say "
            "--other-people (other_people=True)"
        )

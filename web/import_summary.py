"""What an import has brought, in words: how much, whose, and where it went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runner.clock import iso
from web.printing import say

if TYPE_CHECKING:  # what needs database code is loaded by the command that runs, not by `runner --help`
    from runner.groups.imports import ChatSummary, MembersSummary
    from runner.settings import Settings

MOST_NAMES = 20

_ENDS = {
    "entry": "The end is when the zip was made; if that is wrong, say --exported-at",
    "file": "The end is the file's own time; if it was copied since, say --exported-at",
    "line": "The end is its last line, since the file's own time says nothing; else say --exported-at",
}


def tell_members(summary: MembersSummary, settings: Settings) -> None:
    people = counted(summary.rows, "person", "people")
    say(f"{people} on the list, {summary.added} of them new; {summary.members} in the group now")
    if not summary.admins:
        say("Nobody on it is an admin: name them in a column role, or they can be removed like everybody else")
    if summary.kept_off:
        were, stay = ("was", "stays") if summary.kept_off == 1 else ("were", "stay")
        off = f"{summary.kept_off} {were} removed by a job before and {stay} off"
        say(f"{off}: the list does not say they came back later")
    for one, other in summary.may_be_same:
        say(f"Warning: {one} and {other} may be one person, by two spellings of one number")
    if summary.unmatched:
        still = "is" if summary.unmatched == 1 else "are"
        say(f"{counted(summary.unmatched, 'author', 'authors')} of chat exports {still} still matched to nobody")
    _tell_place(summary.group_name, summary.group_wa_id, settings)


def tell_chat(summary: ChatSummary, settings: Settings) -> None:
    messages, authors = counted(summary.messages, "message"), counted(summary.authors, "author")
    say(f"{messages} of {authors}, dates read as {summary.date_order}")
    said = (
        (summary.matched, "is a member", "are members"),
        (summary.no_member, "is confirmed to be no member", "are confirmed to be no members"),
        (summary.former, "is not in the group any more", "are not in the group any more"),
        (summary.left_unmatched, "could not be matched to a member", "could not be matched to a member"),
    )
    for count, of_one, of_more in said:
        if count:
            say(f"  {count} {of_one if count == 1 else of_more}")
    say(f"Activity is known from {iso(summary.observed_from)} to {iso(summary.observed_to)}")
    if summary.made_by in _ENDS:
        say(f"  {_ENDS[summary.made_by]}")
    if summary.polls:
        seen = f"{counted(summary.polls, 'poll was', 'polls were')} seen, and who voted is in no export"
        say(f"{seen}: a removal by silence soon after one asks for --ignore-votes")
    if summary.unread_lines:
        were = "was" if summary.unread_lines == 1 else "were"
        say(f"{counted(summary.unread_lines, 'line')} before the first message {were} not read")
    _tell_former(summary)
    for warning in _warnings(summary, settings):
        say(f"Warning: {warning}")
    _tell_unmatched(summary)
    _tell_place(summary.group_name, summary.group_wa_id, settings)
    if summary.chat_name is not None:
        names = f"in the file the chat is called {summary.chat_name}, here {summary.group_name}"
        say(f"Warning: {names}. Is it the right file?")


def _warnings(summary: ChatSummary, settings: Settings) -> Iterator[str]:
    from runner.groups.activity import span

    slack_ms = int(settings.observation_slack_hours * 3_600_000)
    age = summary.taken_at - summary.observed_to
    if summary.is_doubted:
        yield "the file is older than --exported-at says; what was said meanwhile would be in no export"
    if summary.gap:
        yield summary.gap
    elif not summary.is_followed and age > slack_ms:
        yield (
            f"the export ends {span(age)} ago, and an export is good for {span(slack_ms)} "
            "(RUNNER_OBSERVATION_SLACK_HOURS): nobody can be found inactive by it now. Export the chat again, and "
            "import that"
        )
    if summary.cut_lines:
        yield f"{counted(summary.cut_lines, 'line')} of more than 8,192 characters {_were(summary.cut_lines)} cut there"
    if summary.fallen_lines:
        lines = counted(summary.fallen_lines, "message stands", "messages stand")
        yield (
            f"{lines} behind later ones: whoever wrote them counts as active at the time of these. If two exports were "
            "joined, import each by itself"
        )


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def counted(count: int, one: str, more: str | None = None) -> str:
    """``1 message``, ``2 messages``; ``more`` where it is not made by an s."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def shown_database(settings: Settings) -> str:
    from sqlalchemy.engine import make_url

    return make_url(settings.url).render_as_string(hide_password=True)


def _tell_former(summary: ChatSummary) -> None:
    """All of them: whoever is still there would be removed for a silence that was none."""
    if not summary.former_people:
        return
    say("Taken for people who are not in the group any more. Whoever still is goes on the member list by this number:")
    for author in summary.former_people:
        say(f"  {author.words}: {counted(author.messages, 'message')}, the last {iso(author.last_at)}")


def _tell_unmatched(summary: ChatSummary) -> None:
    if not summary.unmatched:
        return
    these = "this is" if len(summary.unmatched) == 1 else "these are"
    say(f"Nobody is removed while {these} open; answer with --match-names ask:")
    for author in summary.unmatched[:MOST_NAMES]:
        say(f"  {author.name}: {counted(author.messages, 'message')}, the last {iso(author.last_at)}")
    if len(summary.unmatched) > MOST_NAMES:
        say(f"  and {len(summary.unmatched) - MOST_NAMES} more")


def _tell_place(name: str | None, wa_id: str, settings: Settings) -> None:
    from web.lock import is_served

    say(f"Taken into the group {f'{name} ({wa_id})' if name else wa_id} of the database {shown_database(settings)}")
    if not is_served(settings):
        say(
            f"Warning: no server with the home {settings.home} runs on this machine. If yours does run, it may have "
            "another database, and knows nothing of this: give this command the same RUNNER_HOME"
        )

"""Maybe: whoever may be somebody who is protected, or who was heard, stays.

Two spellings may be one number, and an author in a chat whom nobody was matched to may be a member of that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.clock import iso
from runner.gateway import Participant
from runner.groups.group import Group
from runner.groups.identity import LID, person_id, shown
from runner.groups.judgement import ALREADY_GONE, SKIPPED, Finding
from runner.groups.kin import Kin, KinRows, may_be_alike
from runner.groups.listing import Listed
from runner.groups.namesakes import OpenAuthors
from runner.groups.silence import MEMBER
from runner.store import Transaction

_STAYS = "stays in the queue"
_MAYBE = f"{{who}} {{said}}, and may be this person by another spelling of the number; {_STAYS}"
_NAMED = f"{{who}} in a chat wrote on {{at}}, is matched to nobody yet, and may be this person; {_STAYS}"
_OTHER_NUMBER = "not in the group by this number, but {who} is, and may be the same; left alone"


def hold_back_maybe(
    tx: Transaction, group: Group, findings: Sequence[Finding], listed: Listed, now: int
) -> list[Finding]:
    """Those who may be somebody else stay in the queue. ``now``: UTC ms, from which windows are measured back."""
    kin = KinRows(tx, group).of(known for finding in findings if finding.outcome is None for known in ids_of(finding))
    by_silence = any(finding.outcome is None and finding.entry.window_ms is not None for finding in findings)
    authors = OpenAuthors.of(tx, group) if by_silence else OpenAuthors(())

    def held(finding: Finding) -> Finding:
        if finding.outcome == ALREADY_GONE and not finding.entry.was_asked_for:
            return _told_apart(finding, listed)
        why = None
        if finding.outcome is None:
            others = [one for known in ids_of(finding) for one in kin.get(known, ()) if _is_other(one, finding, listed)]
            why = next((reason for one in others if (reason := _against(finding, one, now))), None)
            why = why or _by_name(finding, authors, now)
        return replace(finding, outcome=SKIPPED, reason=why, stays=True) if why else finding

    return [held(finding) for finding in findings]


def ids_of(finding: Finding) -> list[str]:
    """All by which they are known here, or shown on the list."""
    one = finding.participant
    listed = (person_id(text) for text in (one.id, one.lid, one.pn) if text) if one else ()
    return list(dict.fromkeys(known for known in (finding.entry.lid, finding.entry.pn, *listed) if known))


def _is_other(kin: Kin, finding: Finding, listed: Listed) -> bool:
    """Not themselves; nor somebody whom the gateway's own list shows beside them, since it has nobody twice; nor who
    has another lid, since then they are two, and the number has moved.
    """
    lids = [known for known in ids_of(finding) if known.endswith(LID)]
    if kin.person_id == finding.entry.person_id or (kin.lid and lids and kin.lid not in lids):
        return False
    beside = listed.find(kin.lid, kin.pn) if listed.is_whole else None
    return beside is None or beside is finding.participant


def _against(finding: Finding, kin: Kin, now: int) -> str | None:
    window_ms = finding.entry.window_ms
    begins = None if window_ms is None else now - window_ms
    if kin.whitelisted:
        said = "is on the whitelist"
    elif kin.is_me:
        said = "is ourselves"
    elif kin.role not in (None, MEMBER):
        said = "is an admin of the group"
    elif begins is not None and kin.last_active_at is not None and kin.last_active_at > begins:
        said = f"was active on {iso(kin.last_active_at)}"
    elif begins is not None and kin.joined_at is not None and kin.joined_at > begins:
        said = f"joined on {iso(kin.joined_at)}"
    else:
        return None
    return _MAYBE.format(who=kin.words, said=said)


def _by_name(finding: Finding, authors: OpenAuthors, now: int) -> str | None:
    window_ms = finding.entry.window_ms
    author = None if window_ms is None else authors.heard_since(finding.entry, now - window_ms)
    return _NAMED.format(who=author.name, at=iso(author.last_at)) if author else None


def _told_apart(finding: Finding, listed: Listed) -> Finding:
    """Nobody is said to be gone who may be there under another spelling of the number."""
    lid, pn = finding.entry.lid, finding.entry.pn
    likely = (known for known in listed.by_id if pn and known != pn and may_be_alike(known, pn))
    there = next((known for known in likely if not (lid and _has_other_lid(listed.by_id[known], lid))), None)
    if there is None:
        return finding
    return replace(finding, outcome=SKIPPED, reason=_OTHER_NUMBER.format(who=shown(there)), stays=False)


def _has_other_lid(one: Participant, lid: str) -> bool:
    theirs = person_id(one.lid or one.id)
    return theirs is not None and theirs.endswith(LID) and theirs != lid

"""How ``runner status`` and ``runner wait`` show a removal to somebody who reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import web.verbs
from web.cli import app
from web.client import Client
from web.outcomes import number_of

Body = dict[str, Any]
REASON = "no activity for 30 days or longer"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a verb prints of a completed job with this result."""

    def show(result: Body, verb: str = "status", *flags: str, **job: Any) -> str:
        answer = {"id": "job_1", "type": "removal_workflow", "status": "completed", "progress": {"processed": 9}}
        answer |= {"result": result} | job
        transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=answer))
        monkeypatch.setattr(web.verbs, "Client", lambda url, token: Client(url, token, transport))
        said = CliRunner().invoke(app, [verb, "job_1", *flags])
        assert said.exit_code == 0, said.output
        return said.output

    return show


def person(number: int, **known: str) -> Body:
    spoke = f"2026-10-{number % 28 + 1:02d}T08:00:00.000Z"
    phone = f"447700900{number:03d}@s.whatsapp.net"
    named = {"id": f"{number}@lid", "phoneNumber": phone, "name": f"M{number}"}
    return named | {"lastActivity": spoke, "reason": REASON} | known


def test_people_are_read_one_a_line(shown: Callable[..., str]) -> None:
    nobody_knows = {"id": "200000000000014@lid", "reason": REASON}
    lines = shown({"watched": "30 of 30 days", "removedWhatsappIds": [], "wouldRemove": [person(7), nobody_knows]})
    at = lines.splitlines().index("wouldRemove: would remove 2 people")
    head, first, second = (line.rstrip() for line in lines.splitlines()[at + 1 : at + 4])
    assert head.split() == ["number", "name", "last", "heard", "why"]
    assert first.split(maxsplit=3) == ["+447700900007", "M7", "2026-10-08", REASON]
    assert second.split(maxsplit=2) == ["200000000000014@lid", "never", REASON]
    assert "watched: 30 of 30 days" in lines.splitlines()
    assert "removedWhatsappIds" not in lines
    assert "{" not in lines.replace('progress: {"processed": 9}', "")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("removed", "removed 1 person"),
        ("skipped", "left 1 person alone"),
        ("refused", "could not remove 1 person"),
        ("givenUp", "gave up 1 person"),
        ("alreadyGone", "found 1 person gone"),
    ],
)
def test_each_list_has_a_head(shown: Callable[..., str], name: str, head: str) -> None:
    lines = shown({"removedWhatsappIds": ["3@lid"], name: [person(3, code="403")]}).splitlines()
    assert f"{name}: {head}" in lines
    assert sum("+447700900003" in line and f"{REASON} (403)" in line for line in lines) == 1
    assert ('removedWhatsappIds: ["3@lid"]' in lines) == (name != "removed")


def test_nobody_is_said_in_words(shown: Callable[..., str]) -> None:
    lines = shown({"removedWhatsappIds": [], "wouldRemove": []}).splitlines()
    assert lines[-1] == "wouldRemove: would remove nobody"


def test_of_many_the_first_fifty_and_where_to_find_the_rest(shown: Callable[..., str]) -> None:
    result = {"removedWhatsappIds": [], "wouldRemove": [person(number) for number in range(173)]}
    said = shown(result)
    assert "wouldRemove: would remove 173 people" in said
    assert said.count(REASON) == 50
    assert said.splitlines()[-1] == "… and 123 more: runner status job_1 --json"
    assert json.loads(shown(result, "status", "--json"))["result"] == result


def test_a_long_reason_stays_on_its_line(shown: Callable[..., str]) -> None:
    reason = "somebody on the whitelist is known by number alone, and may be this person; stays in the queue" * 2
    said = shown({"removedWhatsappIds": [], "skipped": [person(1, reason=reason, name="Ana Clara " * 5)]})
    assert sum(reason in line for line in said.splitlines()) == 1


def test_what_people_call_themselves_does_not_act_on_the_terminal(shown: Callable[..., str]) -> None:
    evil = person(1, name="\x1b[2J\u202eana\nM2 [red]", reason="\x07" + REASON, phoneNumber="\x9b1@s.whatsapp.net")
    said = shown({"removedWhatsappIds": [], "wouldRemove": [evil], "warnings": ["\x1b]0;x\x07"]})
    assert all(line.isprintable() for line in said.splitlines()), said
    assert r"\x1b[2J\u202eana\x0aM2 [red]" in said


def test_warnings_come_last(shown: Callable[..., str]) -> None:
    said = shown({"warnings": ["look again"], "removedWhatsappIds": [], "wouldRemove": [person(1)]})
    assert said.splitlines()[-1] == "warning: look again"


def test_a_type_of_ones_own_is_shown_as_it_is(shown: Callable[..., str]) -> None:
    assert 'result: {"skipped": [1, 2]}' in shown({"skipped": [1, 2]}).splitlines()
    assert 'result: {"indexed": 7}' in shown({"indexed": 7}).splitlines()


@pytest.mark.parametrize("verb", ["status", "wait"])
def test_what_is_over_has_no_time_left(shown: Callable[..., str], verb: str) -> None:
    assert "ETA" not in shown({"removedWhatsappIds": []}, verb)


def test_numbers() -> None:
    assert number_of("447700900103@s.whatsapp.net") == "+447700900103"
    assert number_of("200000000000013@lid") == "200000000000013@lid"


def test_a_failed_dry_run_says_nothing_of_whom_it_would_remove(shown: Callable[..., str]) -> None:
    """It did not come far enough to know that it would be nobody; whom it had found by then is still shown."""
    result = {"removedWhatsappIds": [], "wouldRemove": [], "error": "nobody answers"}
    assert "would remove" not in shown(result, status="failed")
    assert "would remove nobody" in shown(result)
    assert "would remove 1 person" in shown(result | {"wouldRemove": [person(7)]}, status="failed")

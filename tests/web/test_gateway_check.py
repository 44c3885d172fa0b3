"""``runner gateway check``, without a server, against the fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from runner.clock import Clock
from runner.gateway import Participant
from runner.groups.checkup import _reason
from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.whitelist import WhitelistRows
from runner.opening import open_job_store
from runner.settings import Settings
from runner.stores.migrate import migrate
from tests.gateways.fake import FakeServer, control
from tests.waiting import free_port
from web.cli import app

GROUP = "120363403645737299@g.us"
KEY = "key-of-evolution"
ANA, BO, BOSS, ME = (f"10000000000000{number}@lid" for number in range(1, 5))
SECRET = "a-secret-of-the-tests-that-is-long-enough"
RIGHT: dict[str, Any] = {"url": "http://bot.example:3000/webhook", "headers": {"jwt_key": SECRET}}
P_ME = "33100000004@s.whatsapp.net"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    behave(tmp_path)
    with FakeServer(tmp_path) as server:
        given = {"API_URL": server.url, "API_KEY": KEY, "INSTANCE_NAME": "p2"}
        for name, value in given.items():
            monkeypatch.setenv(f"EVOLUTION_{name}", value)
        monkeypatch.setenv("RUNNER_HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)
        yield server


def behave(folder: Path, *, group: dict[str, Any] | None = None, my_role: str = "admin", **more: Any) -> None:
    people = [
        {"lid": ANA, "pn": "33100000001@s.whatsapp.net"},
        {"lid": BO},
        {"lid": BOSS, "role": "superadmin"},
        {"lid": ME, "pn": P_ME, "role": my_role},
    ]
    groups = {GROUP: {"subject": "Neighbours", "people": people} | (group or {})}
    control(folder, **({"me": {"pn": P_ME}, "groups": groups} | more))


def check(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["gateway", "check", *arguments])
    assert KEY not in result.output
    return result


def test_all_is_well_and_who_is_exempt(fake: FakeServer, tmp_path: Path) -> None:
    behave(tmp_path, evolution={"version": "2.3.7"})
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir()
    migrate(settings.url)
    store = open_job_store(settings, Clock())
    with store.write() as tx:
        group = GroupRows(tx).create(GROUP, "Neighbours")
        for known in (ANA, BO, BOSS, ME):
            MemberRows(tx).put(group, MemberEntry(lid=known), tx.now)
        WhitelistRows(tx).add(group, MemberRows(tx).find(group, BO).person_id)
    result = check(GROUP)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "ok     evolution: connected to WhatsApp",
        "ok     it is Evolution 2.3.7, which tells who votes in polls",
        "?      Evolution 2.3.7: a message that it cannot decipher is not told",
        "?      Evolution 2.3.7: that somebody has another number is not told",
        "ok     no webhooks are taken, since RUNNER_WEBHOOK_SECRET is not set: who is silent is known by exports alone",
        "ok     the group is listed: Neighbours, 4 people",
        "ok     the list agrees with what is known here",
        f"ok     we ({P_ME}) are an admin there and may remove people",
        "Exempt whatever their activity: 3",
        f"  {BO}: on the whitelist",
        f"  {BOSS}: the owner",
        f"  {ME} {P_ME}: ourselves",
    ]
    assert fake.calls("remove") == []


def test_who_may_be_on_the_whitelist_by_another_spelling_is_exempt() -> None:
    numbers = ("551187654321@s.whatsapp.net", "447700900101@s.whatsapp.net")
    shown = [Participant(known, None, known, "member") for known in numbers]
    entry = "5511987654321@s.whatsapp.net"
    assert _reason(shown[0], {entry}, {entry}) == "may be +5511987654321, on the whitelist"
    assert _reason(shown[0], {entry}, set()) is None  # the gateway lists whoever has it beside them
    assert _reason(shown[1], {entry}, {entry}) is None


@pytest.mark.usefixtures("fake")
def test_without_a_group_the_connection_alone_is_looked_at() -> None:
    result = check()
    assert result.exit_code == 0
    assert "runner gateway check 1203" in result.stdout


@pytest.mark.parametrize(
    ("how", "said", "following"),
    [
        ({"evolution": {"key": "another"}}, "does not take the key (401)", "correct the variables"),
        ({"evolution": {"instance": "p3"}}, "no instance of that name", "correct the variables"),
        ({"evolution": {"state": "close"}}, "is not connected to WhatsApp", "is connected"),
        ({"groups": {}}, "there is no such group", "the id is right"),
        ({"my_role": "member"}, "are no admin there", "let an admin make that number an admin"),
        ({"me": {"pn": "33100000099@s.whatsapp.net"}, "group": {"addressing": "pn"}}, "is not said", None),
        ({"group": {"isCommunity": True}}, "this is a community", "name one of the groups in it"),
        ({"group": {"announce": True}}, "only admins write in this group", None),
        ({"faults": {"list": {"*": "text:Error: rate-overlimit"}}}, "asks for a pause", "wait a little"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    fake: FakeServer, how: dict[str, Any], said: str, following: str | None
) -> None:
    behave(fake.world.folder, **how)
    result = check(GROUP)
    assert said in result.stdout
    assert result.exit_code == (0 if following is None else 1), result.output
    if following:
        assert following in result.stdout.split("Next: ")[1]


def test_a_webhook_by_which_no_message_of_a_group_can_come_is_wrong(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNNER_WEBHOOK_SECRET", SECRET)
    behave(fake.world.folder, evolution={"webhook": RIGHT})
    result = check()
    assert result.exit_code == 0, result.output
    assert "ok     the webhook is set to send messages of groups" in result.stdout
    assert "?      no event of evolution/p2 has arrived here yet" in result.stdout
    behave(fake.world.folder, evolution={"webhook": RIGHT, "settings": {"groupsIgnore": True}})
    result = check(GROUP)
    assert result.exit_code == 1
    assert "wrong  groupsIgnore is on in the instance's settings: no group message can come in" in result.stdout
    assert "Next: switch groupsIgnore off" in result.stdout
    assert "the group is listed" in result.stdout


@pytest.mark.parametrize(
    ("webhook", "public", "said"),
    [
        (
            {"headers": {"jwt_key": "another-secret-that-is-long-enough-too"}},
            "",
            "has another secret",
        ),
        ({"headers": {"X-Webhook-Secret": "another"}}, "", "has another secret than RUNNER_WEBHOOK_SECRET"),
        ({"headers": {"jwt_key": "another", "X-Webhook-Secret": SECRET}}, "", "has another secret"),
        ({"headers": {}}, "", "has no secret"),
        ({"headers": None}, "", "has no secret"),
        ({"url": "http://bot.example:3000/webhok"}, "", "has another path than ours, /webhook"),
        ({"url": "http://bot.example:3000/webhook/waha"}, "", "has another path than ours"),
        ({"url": "bot.example"}, "", "is none that could be called"),
        (
            {"url": "http://bot.example:3001/webhook"},
            "http://bot.example:3000",
            "leads elsewhere than RUNNER_PUBLIC",
        ),
        ({"url": "https://bot.example:3000/webhook"}, "http://bot.example:3000", "leads elsewhere"),
        ({"url": "http://other.example:3000/webhook"}, "http://bot.example:3000", "leads elsewhere"),
    ],
)
def test_what_cannot_come_in_here_is_wrong_and_no_value_is_shown(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch, webhook: dict[str, Any], public: str, said: str
) -> None:
    monkeypatch.setenv("RUNNER_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("RUNNER_PUBLIC_URL", public)
    behave(fake.world.folder, evolution={"webhook": RIGHT | webhook})
    result = check()
    assert result.exit_code == 1, result.output
    assert said in result.stdout
    assert "ok     the webhook sends" not in result.stdout
    assert SECRET not in result.output
    assert "another-secret" not in result.output


@pytest.mark.parametrize(
    "webhook",
    [
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"headers": {"x-webhook-secret": SECRET}},
        {"url": "http://bot.example:3000/"},
        {"url": "http://bot.example:3000/webhook/"},
    ],
)
def test_every_form_that_is_taken_here_is_well(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch, webhook: dict[str, Any]
) -> None:
    monkeypatch.setenv("RUNNER_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("RUNNER_PUBLIC_URL", "http://bot.example:3000")
    behave(fake.world.folder, evolution={"webhook": RIGHT | webhook})
    assert "ok     the webhook is set to send messages of groups" in check().stdout


@pytest.mark.usefixtures("fake")
def test_no_webhook_of_its_own_is_no_fault_since_there_may_be_one_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_WEBHOOK_SECRET", "a-secret-of-the-tests-that-is-long-enough")
    result = check(GROUP)
    assert "?      the instance has no webhook of its own that is switched on: group messages come in" in result.stdout
    assert result.exit_code == 0, result.output


def test_what_nobody_says_is_neither_well_nor_wrong(fake: FakeServer) -> None:
    behave(fake.world.folder, me={"pn": "33100000099@s.whatsapp.net"}, group={"addressing": "pn"})
    assert "?      which of them is ourselves is not said" in check(GROUP).stdout


@pytest.mark.usefixtures("fake")
def test_that_it_is_the_roster_for_want_of_a_variable_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLUTION_API_KEY", "")
    said = check().stdout.splitlines()
    assert said[0] == "?      this is the roster, the list kept here, since EVOLUTION_API_KEY is not set for evolution"
    assert said[1].startswith("ok     roster: ")
    monkeypatch.setenv("RUNNER_GATEWAY", "roster")
    assert check().stdout.startswith("ok     roster: ")


def test_a_list_that_lacks_us_is_wrong(fake: FakeServer) -> None:
    people = [{"lid": ANA, "pn": "33100000001@s.whatsapp.net"}]
    behave(fake.world.folder, group={"people": people})
    result = check(GROUP)
    assert "we are not in this group" in result.stdout
    assert result.exit_code == 1


@pytest.mark.usefixtures("fake")
def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLUTION_API_URL", f"http://127.0.0.1:{free_port()}")
    result = check(GROUP)
    assert "nobody answers at http://127.0.0.1" in result.stdout
    assert result.exit_code == 1


@pytest.mark.usefixtures("fake")
def test_wrong_usage_and_wrong_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check("Neighbours").exit_code == 2
    monkeypatch.setenv("RUNNER_GATEWAY", "waha")
    result = check(GROUP)
    assert result.exit_code == 78
    assert "WAHA_URL and WAHA_API_KEY are not set" in result.stderr


@pytest.mark.usefixtures("fake")
def test_a_home_or_a_file_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file")
    refused = [check()]
    home.unlink()
    home.mkdir()
    (home / "runner.db").write_bytes(b"not a database, but somebody's only copy" * 50)
    refused.append(check())
    assert [(one.exit_code, one.stdout, len(one.stderr.splitlines())) for one in refused] == [(78, "", 1)] * 2

"""The fake against what was written down of the real servers, so that it and our adapters cannot agree on an error."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.gateways.fake import FakeServer, Happenings, control
from tests.gateways.fixtures import FOLDER, KEYS, fixture, names

G, L3, L4 = "120363000000000001@g.us", "100000000000003@lid", "100000000000004@lid"


@pytest.mark.parametrize("name", names())
def test_the_fake_says_what_the_real_server_said(name: str, tmp_path: Path) -> None:
    known = fixture(name)
    assert known.world is not None
    control(tmp_path, **known.world)
    with FakeServer(tmp_path) as fake:
        url = httpx.URL(fake.url + known.path, params=known.query)
        answer = httpx.request(known.method, url, json=known.body, headers=KEYS, trust_env=False)
    assert (answer.status_code, answer.json()) == (known.status, known.answer)


def test_every_file_says_where_it_comes_from() -> None:
    files = sorted(FOLDER.glob("*.json"))
    assert len(files) > 70
    assert [path.name for path in files if not json.loads(path.read_text())["from"]] == []


def remove(fake: FakeServer, *ids: str) -> httpx.Response:
    return httpx.post(
        f"{fake.url}/group/updateParticipant/p2",
        params={"groupJid": G},
        json={"action": "remove", "participants": ids},
        headers={"apikey": "key-of-evolution"},
        trust_env=False,
        timeout=20,
    )


def test_what_was_done_is_in_its_log_alone_and_outlives_it(tmp_path: Path) -> None:
    people = [{"lid": L3}, {"lid": L4, "pn": "5511900000002@s.whatsapp.net"}]
    faults = {"1": "reset", "2": "empty", "3": "reset_after", "4": "text:Error: rate-overlimit"}
    control(tmp_path, groups={G: {"people": people, "codes": {L4: ["403", "200"]}}}, faults={"remove": faults})
    with FakeServer(tmp_path) as fake:
        for reset in (True, False, True):
            if reset:
                with pytest.raises(httpx.TransportError):
                    remove(fake, L3)
            else:
                assert remove(fake, L3).json() == {"updateParticipants": []}
        assert fake.effects() == [L3]
        assert remove(fake, L3, L4).status_code == 400
        assert [row["status"] for row in remove(fake, L3, L4).json()["updateParticipants"]] == ["404", "403"]
        assert fake.effects() == [L3]
    with FakeServer(tmp_path) as fake:
        assert fake.effects(G) == [L3]
        rows = remove(fake, "5511900000002@s.whatsapp.net", L4).json()["updateParticipants"]
        assert [row["status"] for row in rows] == ["403", "200"]  # which codes it gave before is not kept
        assert [row["status"] for row in remove(fake, L4).json()["updateParticipants"]] == ["404"]
        assert fake.effects() == [L3, L4]
        assert [line["call"] for line in fake.calls("remove")] == [1, 2, 3, 4, 5, 6, 7]


def test_calls_against_the_servers_rules_are_noted(tmp_path: Path) -> None:
    control(tmp_path, groups={G: {"people": [{"lid": L3}]}})
    with FakeServer(tmp_path) as fake:
        remove(fake, "5511900000002")
        remove(fake, L3)
        url = f"{fake.url}/api/default/groups/{G}/participants/remove"
        bad = {"participants": [{"id": "5511900000002@s.whatsapp.net"}]}
        assert httpx.post(url, json=bad, headers={"X-Api-Key": "key-of-waha"}, trust_env=False).status_code == 400
        assert len(fake.wrong()) == 2


def test_it_runs_as_a_process_and_ends_with_its_input(tmp_path: Path) -> None:
    control(tmp_path, groups={G: {"people": [{"lid": L3}]}})
    program = [sys.executable, "-m", "tests.gateways.fake", str(tmp_path)]
    root = FOLDER.parent.parent.parent
    with subprocess.Popen(program, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = f"{process.stdout.readline().strip()}/instance/connectionState/p2"
        assert httpx.get(url, headers=KEYS, trust_env=False).json()["instance"]["state"] == "open"
        process.stdin.close()
        assert process.wait(60) == 0


def test_nothing_listens_any_more_after_it(tmp_path: Path) -> None:
    with FakeServer(tmp_path) as fake:
        port = int(fake.url.rsplit(":", 1)[1])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def ask(fake: FakeServer, path: str, **query: str) -> httpx.Response:
    headers = {} if path == "/" else KEYS
    return httpx.get(f"{fake.url}{path}", params=query, headers=headers, trust_env=False, timeout=20)


def test_it_says_its_version_without_a_key_and_what_whatsapp_did_not_answer_by_kind(tmp_path: Path) -> None:
    people = [{"lid": L3}]
    faults = {"list": {"1": "unanswered"}, "remove": {"1": "unanswered", "2": "unanswered_after"}}
    control(tmp_path, groups={G: {"people": people}}, faults=faults, evolution={"version": "2.3.7", "state": "open"})
    with FakeServer(tmp_path) as fake:
        assert ask(fake, "/").json()["version"] == "2.3.7"
        answer = ask(fake, "/group/findGroupInfos/p2", groupJid=G)
        said = ["Error fetching group", "TypeError: Cannot read properties of undefined (reading 'attrs')"]
        assert (answer.status_code, answer.json()["response"]["message"]) == (404, said)
        for effects in ([], [L3]):
            answer = remove(fake, L3)
            assert (answer.status_code, answer.json()) == (201, {"updateParticipants": []})
            assert fake.effects() == effects


def test_a_socket_that_is_down_is_connecting_and_no_list_comes(tmp_path: Path) -> None:
    control(tmp_path, groups={G: {"people": [{"lid": L3}]}}, evolution={"state": "down"})
    with FakeServer(tmp_path) as fake:
        assert ask(fake, "/instance/connectionState/p2").json()["instance"]["state"] == "connecting"
        assert ask(fake, "/group/findGroupInfos/p2", groupJid=G).status_code == 404
        assert "Error: Connection Closed" in remove(fake, L3).text


@pytest.mark.parametrize(
    ("version", "votes", "after_stub", "after_logout", "doubles"),
    [
        ("2.3.4", 0, 0, 0, 0),
        ("2.3.6", 0, 0, 0, 0),
        ("2.3.7", 1, 1, 1, 1),
    ],
)
def test_what_each_version_sends_by_itself(
    version: str, votes: int, after_stub: int, after_logout: int, doubles: int
) -> None:
    happen = Happenings(version)
    assert len(happen.vote(L3, "V1", 1)) == votes
    assert happen.undecipherable(L3, "M1", 1) == []
    assert len(happen.message(L3, "M1", 2)) == after_stub
    assert len(happen.message(L3, "M2", 3)) == 1
    assert len(happen.message(L3, "M2", 3)) == doubles
    assert happen.change("modify", {"id": L3}) == []
    assert happen.socket_down()[0]["data"]["state"] == "connecting"
    assert [one["event"] for one in happen.log_out()] == ["logout.instance", "remove.instance"]
    assert happen.message(L3, "M3", 4) == []
    assert happen.connect()[-1]["data"]["state"] == "open"
    assert len(happen.message(L3, "M4", 5)) == after_logout
    happen.restart()
    assert len(happen.message(L3, "M5", 6)) == 1

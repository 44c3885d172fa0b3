"""Access on a real server: the command line beside it, headers as a socket may send them, and where secrets are not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runner.token import new_token
from tests.endtoend.server import Server
from tests.waiting import wait_for

SCRIPT = str(Path(sys.executable).with_name("runner"))
WALK = {"type": "walk", "groupWaId": "1203634036@g.us", "batchSize": 5, "delayMs": 10_000, "dryRun": False}


class House:
    """A home, the command line on it, and at times a server."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.servers: list[Server] = []

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNNER_")}
        port = {"RUNNER_PORT": str(self.servers[-1].port)} if self.servers else {}
        given = kept | {"RUNNER_HOME": str(self.home)} | port | variables
        return subprocess.run(
            [SCRIPT, *arguments], env=given, cwd=self.home, capture_output=True, text=True, timeout=60, check=False
        )

    def token(self, name: str, role: str) -> str:
        made = self.run("token", "new", name, "--role", role)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def serve(self, **settings: str) -> Server:
        self.servers.append(Server(self.home, workflows="tests.web.samples", **settings))
        self.servers[-1].start()
        return self.servers[-1]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    for server in made.servers:
        server.close()


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_tokens_made_and_revoked_beside_a_running_server_count_at_once(house: House) -> None:
    server = house.serve()
    for _ in range(20):  # each thread of the server has looked
        assert server.call("GET", "/admin/jobs")[0] == 200
    text, other = house.token("ana", "operator"), house.token("ben", "viewer")
    for _ in range(20):
        assert server.call("GET", "/admin/jobs")[0] == 401
        assert server.call("GET", "/admin/jobs", **bearer(text))[0] == 200
    assert server.call("POST", "/admin/jobs/job_1/cancel", **bearer(other))[0] == 403
    assert house.run("token", "revoke", "ana").returncode == 0
    for _ in range(20):
        assert server.call("GET", "/admin/jobs", **bearer(text))[0] in (401, 429)
    assert server.call("GET", "/admin/jobs", **bearer(other))[0] == 200
    assert server.call("GET", "/livez")[0] == 200


def send(port: int, *lines: bytes) -> bytes:
    """The status line of what a server says to these lines as they are."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        connection.sendall(b"\r\n".join([b"GET /admin/jobs HTTP/1.1", b"Host: localhost", *lines, b"", b""]))
        return connection.makefile("rb").readline()


def test_headers_as_a_socket_may_send_them(house: House) -> None:
    text = house.token("ana", "admin").encode()
    port = house.serve().port
    good, other = b"Authorization: Bearer " + text, b"Authorization: Bearer " + new_token().encode()
    assert b" 200 " in send(port, good)
    assert b" 200 " in send(port, good.lower())
    assert b" 401 " in send(port)
    refused: list[tuple[bytes, ...]] = [
        (b"Authorization: Bearer \xc3\xa9",),
        (b"Authorization: Bearer \xff\xfe",),
        (b"Authorization:",),
        (b"Authorization: ",),
        (good, good),
        (good, other),
        (other, good),
        (b"Authorization_: x", b"AUTHORIZATION:  " + text),
        (b"Authorization: Bearer " + b"x" * 100_000,),
    ]
    for lines in refused:
        assert b" 401 " in send(port, *lines), lines[0][:60]
    assert b" 431 " in send(port, b"Authorization: Bearer " + b"x" * 1_000_000)
    assert b" 200 " in send(port, good), "it is as well as before"


PASSED_ON = [
    b"X-Forwarded-For: 203.0.113.9",
    b"Forwarded: for=203.0.113.9",
    b"X-Real-IP: 203.0.113.9",
    b"Via: 1.1 caddy",
]


def test_what_a_proxy_of_this_machine_passes_on_needs_a_token(house: House) -> None:
    port = house.serve().port
    assert b" 200 " in send(port)
    for line in PASSED_ON:
        assert b" 401 " in send(port, line), line
    right = b"Authorization: Bearer " + house.token("ana", "viewer").encode()
    for line in PASSED_ON:
        assert b" 200 " in send(port, line, right), line


def test_guesses_are_slowed_and_a_right_token_passes(house: House) -> None:
    text = house.token("ana", "viewer")
    server = house.serve()
    answers = [server.call("GET", "/admin/jobs", **bearer(new_token()))[0] for _ in range(15)]
    assert answers == [401] * 10 + [429] * 5
    assert server.call("GET", "/admin/jobs", **bearer(text))[0] == 200


def test_the_verbs_take_their_token_from_the_environment_or_a_file(house: House) -> None:
    text, reader = house.token("ana", "operator"), house.token("ben", "viewer")
    house.serve()
    without = house.run("list")
    assert without.returncode == 4
    assert "RUNNER_TOKEN" in without.stderr
    assert house.run("list", RUNNER_TOKEN=text).returncode == 0
    refused = house.run("cancel", "job_1", RUNNER_TOKEN=reader)
    assert (refused.returncode, "operator" in refused.stderr) == (4, True)
    for wrong in ("é", "secret swordfish", text[:-1]):
        said = house.run("list", RUNNER_TOKEN=wrong)
        assert said.returncode == 2
        assert wrong not in said.stderr
        assert "Traceback" not in said.stderr
    fields = [f"{name}={value}" for name, value in WALK.items() if name not in ("type", "dryRun")]
    (house.home / ".env").write_text(f"RUNNER_TOKEN={text}\n")
    started = house.run("start", "walk", *fields, "dryRun=true")
    assert started.returncode == 0, started.stderr
    assert '"createdBy": "ana"' in house.run("status", started.stdout.strip(), "--json").stdout


def readable(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except OSError:
        return b""


def test_a_token_is_nowhere_but_in_the_hands_of_its_owner(house: House) -> None:
    text = house.token("ana", "admin")
    server = house.serve(token=text, log_level="DEBUG")
    job_id = server.call("POST", "/admin/jobs/start", WALK, **bearer(text))[1]["jobId"]
    status = f"/admin/jobs/{job_id}/status"
    job = wait_for(
        lambda: (found := server.call("GET", status, **bearer(text))[1])["status"] == "running" and found, "it runs"
    )
    for path in ("/nowhere", "/admin/jobs?cursor=x", f"/admin/jobs/{text[:30]}/status"):
        server.call("GET", path, **bearer(text))
    server.call("GET", "/admin/jobs", Authorization=f"Basic {text}")
    secret = text.removeprefix("runner_").encode()
    kept = {path: path.read_bytes() for path in house.home.rglob("*") if path.is_file()}
    assert [str(path) for path, found in kept.items() if secret in found] == []
    assert secret not in repr(job).encode()
    for process in server.family():
        files = [Path(f"/proc/{process.pid}/{name}") for name in ("cmdline", "environ")]
        assert not any(secret in readable(path.read_bytes) for path in files), "no job has what started the server"
    assert secret not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert b"GET /admin/jobs" in kept[house.home / "server.log"]


def test_beyond_loopback_only_with_a_valid_token(house: House) -> None:
    """127.1 is loopback too, but not by its name: nothing else is listened on here."""
    variables = {"RUNNER_HOST": "127.1", "RUNNER_PORT": "0"}
    refused = house.run("serve", **variables)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (78, 1)
    assert "runner token new NAME --role admin" in refused.stderr
    house.token("ana", "viewer")
    house.run("token", "revoke", "ana")
    assert house.run("serve", **variables).returncode == 78, "one that is revoked keeps nobody out"
    text = house.token("ben", "viewer")
    server = house.serve(host="127.1")
    assert server.call("GET", "/admin/jobs")[0] == 401
    assert server.call("GET", "/admin/jobs", **bearer(text))[0] == 200

"""What a server says when it starts: what is in force, what is amiss, and what goes on from before."""

from __future__ import annotations

from pathlib import Path

import pytest
from falcon import testing

from runner.manager import JobManager
from tests.gateways.test_access import EVOLUTION, WAHA
from tests.web.test_jobs import Body, start, wait_for_status
from web.banner import banner
from web.carryover import carried_over
from web.configuration import WrongConfiguration, read_server_settings, unknown_variables


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*EVOLUTION, *WAHA, "WAHA_SESSION", "RUNNER_GATEWAY"):
        monkeypatch.setenv(name, "")  # so that what a test sets is taken back, too
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUNNER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def said(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], *, demo: bool = False) -> str:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return banner(read_server_settings(demo=demo), 3000, demo=demo, tokens=False)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "none but each job's delayMs"),
        (
            {"RUNNER_PACE_GROUP_PER_HOUR": "50", "RUNNER_PACE_HOURS": "09:00-20:00"},
            "50 people an hour in this group, 09:00-20:00",
        ),
        (
            {
                "RUNNER_PACE_JITTER": "0.3",
                "RUNNER_PACE_HOURS": "09:00-20:00",
                "RUNNER_PACE_TIME_ZONE": "Europe/Berlin",
                "RUNNER_PACE_ACCOUNT_PER_DAY": "200",
            },
            "200 people a day in all groups together, 09:00-20:00 (Europe/Berlin), each delayMs up to 30% longer",
        ),
    ],
)
def test_the_pace_in_force(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], shown: str) -> None:
    assert f"\n  pace      {shown.replace('this group', 'a group')}\n" in said(monkeypatch, given)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"WAHA_URL": "http://127.0.0.1:1"}, "roster, since WAHA_API_KEY is not set for waha\n"),
        ({"WAHA_API_KEY": "x"}, "roster, since WAHA_URL is not set for waha\n"),
        ({"WAHA_SESSION": "mine"}, "roster, since WAHA_URL and WAHA_API_KEY are not set for waha\n"),
        ({"WAHA_SESSION": "default", "EVOLUTION_API_URL": ""}, "roster\n"),
        (
            {"WAHA_API_KEY": "x", "EVOLUTION_API_KEY": "x"},
            "roster, since EVOLUTION_API_URL and EVOLUTION_INSTANCE_NAME are not set for evolution, and WAHA_URL is "
            "not set for waha\n",
        ),
        ({"WAHA_API_KEY": "x", "RUNNER_GATEWAY": "roster"}, "gateway   roster\n"),
    ],
)
def test_why_it_is_the_roster(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], shown: str) -> None:
    assert shown in said(monkeypatch, given)


def test_a_gateway_at_a_distance_is_to_be_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "runner gateway check" not in said(monkeypatch, {})
    assert "\nTry:\n  runner gateway check\n  curl " in said(monkeypatch, EVOLUTION)


@pytest.mark.parametrize("given", [EVOLUTION, EVOLUTION | WAHA, EVOLUTION | {"EVOLUTION_API_URL": "nonsense"}])
def test_the_demo_is_on_the_roster_whatever_is_set(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    assert "gateway   roster, since the demo's group is on no gateway" in said(monkeypatch, given, demo=True)


def test_the_demo_is_on_another_gateway_where_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RUNNER_GATEWAY=waha\n")
    assert "gateway   waha" in said(monkeypatch, WAHA, demo=True)


def test_an_address_that_is_wrong_is_not_blamed_on_a_setting_nobody_made(monkeypatch: pytest.MonkeyPatch) -> None:
    given = EVOLUTION | {"EVOLUTION_API_URL": "nonsense"}
    with pytest.raises(WrongConfiguration, match=r"^EVOLUTION_API_URL must be an address"):
        said(monkeypatch, given)
    with pytest.raises(WrongConfiguration, match=r"^RUNNER_GATEWAY=evolution: EVOLUTION_API_URL must be an address"):
        said(monkeypatch, given | {"RUNNER_GATEWAY": "evolution"})


def test_a_variable_that_is_misspelt_is_told_with_the_nearest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = unknown_variables()
    known = ("TOKEN", "SERVER", "JOB", "LOG_LEVEL", "TEST_POSTGRES_URL", "GRACE_SECONDS", "OS")
    for name in (*known, "PACE_GROUP_PER_HR", "XYZZY"):
        monkeypatch.setenv(f"RUNNER_{name}", "a-secret")
    (tmp_path / ".env").write_text("RUNNER_PROT=3001\n")
    assert [one for one in unknown_variables() if one not in before] == [
        "RUNNER_PACE_GROUP_PER_HR is no setting and changes nothing: did you mean RUNNER_PACE_GROUP_PER_HOUR?",
        "RUNNER_PROT is no setting and changes nothing: did you mean RUNNER_PORT?",
        "RUNNER_XYZZY is no setting and changes nothing",
    ]


def test_jobs_that_go_on_are_told_with_how_to_end_them(
    client: testing.TestClient, manager: JobManager, group: str, body: Body
) -> None:
    first, second = start(client, body), start(client, body | {"dryRun": True})
    wait_for_status(client, first, "running")
    mine = [line for line in carried_over(manager) if group in line]
    assert mine[0].startswith(f"walk real run on {group}, ")
    assert mine[0].endswith(f" done: runner cancel {first}")
    assert mine[1] == f"walk dry run on {group}, 0 done, waits for {first}: runner cancel {second}"
    for job_id in (first, second):
        client.simulate_post(f"/admin/jobs/{job_id}/cancel")
    assert [line for line in carried_over(manager) if group in line] == []

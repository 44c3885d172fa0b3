"""Groups, members, whitelist, removal queue and history over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from falcon import testing

from runner.groups.activity import ActivityRows
from runner.groups.group import GroupRows
from runner.groups.history import FAILURE, SUCCESS, HistoryRows, NewHistory
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.manager import JobManager
from tests.web.test_jobs import status, wait_for_status

DAY_MS = 86_400_000
ANA, BENTO, CARLA, DINA = "1001@lid", "1002@lid", "1003@lid", "1004@lid"
NOBODY = "9999@lid"
Json = dict[str, Any]


@pytest.fixture
def people(manager: JobManager, group: str) -> str:
    """A group watched for 60 days: Ana spoke yesterday, Bento and Carla long ago, Dina is an admin and silent."""
    with manager.store.write() as tx:
        found = GroupRows(tx).create(group, "Neighbours")
        ages = {ANA: 1, BENTO: 40, CARLA: 50, DINA: 50}
        for place, (lid, days) in enumerate(ages.items(), 1):
            entry = MemberEntry(
                lid=lid.replace("@", f"{group[8:18]}@"),
                pn=f"55119{group[8:18]}{place}@s.whatsapp.net"[-30:] if place == 2 else None,
                name=lid,
                role="admin" if lid == DINA else "member",
                joined_at=tx.now - 100 * DAY_MS,
                last_active_at=tx.now - days * DAY_MS,
            )
            MemberRows(tx).put(found, entry, tx.now)
        ActivityRows(tx).observed(found, tx.now - 60 * DAY_MS, tx.now, "test")
    return group


def of(group: str, lid: str) -> str:
    """The id of a person of this group: people are known across groups, so each group has its own."""
    return lid.replace("@", f"{group[8:18]}@")


def names(entries: list[Json]) -> list[str]:
    return [entry["user"]["name"] for entry in entries]


def test_groups_are_listed_and_changed(client: testing.TestClient, people: str) -> None:
    (found,) = [one for one in client.simulate_get("/admin/groups").json if one["whatsappId"] == people]
    assert found["name"] == "Neighbours"
    assert found["inactivityThresholdMinutes"] == 43_200
    path = f"/admin/groups/{found['id']}"
    changed = client.simulate_patch(path, json={"name": " New ", "inactivityThresholdMinutes": 60})
    assert changed.status_code == 200
    assert changed.json == {"group": found | {"name": "New", "inactivityThresholdMinutes": 60}}
    by_its_own_id = client.simulate_patch(f"/admin/groups/{people}", json={"name": "Newer"})
    assert by_its_own_id.json["group"]["name"] == "Newer"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "name"), ({"whatsappId": "1@g.us"}, "whatsappId"), ({"id": "7"}, "id"), ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"), ({"name": 5}, "name"),
        ({"inactivityThresholdMinutes": 0}, "inactivityThresholdMinutes"),
        ({"inactivityThresholdMinutes": "60"}, "inactivityThresholdMinutes"), ({"createdAt": 1}, "createdAt"),
    ],
)  # fmt: skip
def test_nothing_else_of_a_group_can_be_changed(
    client: testing.TestClient, people: str, change: Json, field: str
) -> None:
    answer = client.simulate_patch(f"/admin/groups/{people}", json=change)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, field)


def test_a_group_nobody_knows_is_404_everywhere(client: testing.TestClient) -> None:
    for group in ("120363999999999999@g.us", "x", "%00", "0"):
        assert client.simulate_patch(f"/admin/groups/{group}", json={"name": "x"}).status_code == 404
        for path in (
            f"/admin/members?groupWhatsappId={group}", f"/admin/removalQueue?groupWaId={group}",
            f"/admin/lists/whitelist?groupId={group}", f"/admin/removalHistory?groupWaId={group}",
        ):  # fmt: skip
            assert client.simulate_get(path).status_code == 404, path
        assert client.simulate_delete(f"/admin/removalQueue?groupWaId={group}").status_code == 404
    body = {"groupWaId": "120363999999999999@g.us", "inactivityWindowMs": 1}
    assert client.simulate_post("/admin/removalQueue/sync", json=body).status_code == 404


def test_members_are_listed_one_or_many(client: testing.TestClient, people: str) -> None:
    path = f"/admin/members?groupWhatsappId={people}"
    everybody = client.simulate_get(path).json
    assert names(everybody) == [ANA, BENTO, CARLA, DINA]
    assert {"userId", "groupId", "role", "joinDate", "lastActiveAt", "user", "group"} <= set(everybody[0])
    assert everybody[0]["group"]["whatsappId"] == people
    assert names(client.simulate_get(f"{path}&role=ADMIN").json) == [DINA]
    one = client.simulate_get(f"{path}&userWhatsappId={of(people, CARLA)}")
    assert (one.status_code, one.json["user"]["name"]) == (200, CARLA)
    assert client.simulate_get(f"{path}&userWhatsappId={NOBODY}").status_code == 404
    assert client.simulate_get(f"{path}&role=KING").status_code == 400
    assert client.simulate_get("/admin/members").json["errors"][0]["field"] == "groupWhatsappId"


def test_members_come_in_pages(client: testing.TestClient, people: str) -> None:
    first = client.simulate_get(f"/admin/members?groupWhatsappId={people}&limit=3")
    assert names(first.json) == [ANA, BENTO, CARLA]
    following = first.headers["link"].split(">")[0].removeprefix("<")
    second = client.simulate_get(following)
    assert names(second.json) == [DINA]
    assert "link" not in second.headers


def test_a_role_is_changed(client: testing.TestClient, people: str) -> None:
    body = {"userWhatsappId": of(people, ANA), "groupWhatsappId": people, "role": "ADMIN"}
    answer = client.simulate_patch("/admin/members/role", json=body)
    assert answer.status_code == 200
    assert answer.json["membership"]["role"] == "ADMIN"
    assert names(client.simulate_get(f"/admin/members?groupWhatsappId={people}&role=ADMIN").json) == [ANA, DINA]
    for wrong, code in (({"role": "admin"}, 400), ({"userWhatsappId": NOBODY}, 404), ({"groupWhatsappId": "x"}, 404)):
        assert client.simulate_patch("/admin/members/role", json=body | wrong).status_code == code


def test_the_whitelist(client: testing.TestClient, people: str) -> None:
    path, body = "/admin/lists/whitelist", {"groupId": people, "whatsappId": of(people, CARLA)}
    for _ in range(2):
        added = client.simulate_post(path, json=body)
        assert (added.status_code, added.json["message"]) == (200, "Added to whitelist")
        assert (added.json["person"]["name"], added.json["inGroup"]) == (CARLA, True)
    listed = client.simulate_get(f"{path}?groupId={people}").json
    assert names(listed) == [CARLA]
    removed = client.simulate_delete(path, json=body)
    assert (removed.status_code, removed.json) == (200, {"message": "Removed from whitelist"})
    assert client.simulate_delete(path, json=body).status_code == 404
    assert client.simulate_get(f"{path}?groupId={people}").json == []


def test_somebody_not_seen_yet_can_be_whitelisted_by_number(client: testing.TestClient, people: str) -> None:
    body = {"groupId": people, "phoneNumber": "+55 11 98765-4321"}
    assert client.simulate_post("/admin/lists/whitelist", json=body).status_code == 200
    (entry,) = client.simulate_get(f"/admin/lists/whitelist?groupId={people}").json
    assert entry["user"]["phoneNumber"] == "5511987654321@s.whatsapp.net"


def test_taking_an_unknown_person_off_makes_nobody_known(
    client: testing.TestClient, manager: JobManager, people: str
) -> None:
    body = {"groupId": people, "whatsappId": NOBODY}
    assert client.simulate_delete("/admin/lists/whitelist", json=body).status_code == 404
    with manager.store.read() as tx:
        assert PersonRows(tx).find(NOBODY) is None


@pytest.mark.parametrize(
    "wrong",
    [{}, {"phoneNumber": "1", "whatsappId": ANA}, {"phoneNumber": "abc"}, {"whatsappId": "x"}, {"phoneNumber": 5}],
)
def test_a_person_is_named_by_one_id(client: testing.TestClient, people: str, wrong: Json) -> None:
    answer = client.simulate_post("/admin/lists/whitelist", json={"groupId": people} | wrong)
    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] in ("phoneNumber", "whatsappId")


def test_a_sync_queues_who_was_silent_oldest_first(client: testing.TestClient, people: str) -> None:
    body = {"groupWaId": people, "inactivityWindowMs": 30 * DAY_MS}
    answers = [client.simulate_post("/admin/removalQueue/sync", json=body) for _ in range(2)]
    assert [names(answer.json) for answer in answers] == [[CARLA, BENTO]] * 2
    answer = answers[1]
    assert answer.status_code == 200
    assert client.simulate_get(f"/admin/removalQueue?groupWaId={people}").json == answer.json
    entry = answer.json[0]
    assert entry["inactivityWindowMs"] == 30 * DAY_MS
    assert entry["group"]["whatsappId"] == people
    assert entry["user"]["whatsappId"] == of(people, CARLA)


def test_a_window_that_was_not_watched_makes_nobody_inactive(client: testing.TestClient, people: str) -> None:
    body = {"groupWaId": people, "inactivityWindowMs": 61 * DAY_MS}
    assert client.simulate_post("/admin/removalQueue/sync", json=body).json == []


def test_the_queue_by_hand(client: testing.TestClient, people: str) -> None:
    asked = [of(people, one) for one in (ANA, DINA, NOBODY)] + [NOBODY]
    added = client.simulate_post("/admin/removalQueue", json={"groupId": people, "participants": asked})
    assert (added.status_code, names(added.json)) == (200, [ANA])
    again = client.simulate_post("/admin/removalQueue", json={"groupId": people, "participants": asked})
    assert again.json == []
    for wrong in ([], ["x"], "x", [5], None):
        refused = client.simulate_post("/admin/removalQueue", json={"groupId": people, "participants": wrong})
        assert refused.status_code == 400


def test_population_counts_everybody_once(client: testing.TestClient, people: str) -> None:
    client.simulate_post("/admin/lists/whitelist", json={"groupId": people, "whatsappId": of(people, CARLA)})
    asked = [of(people, ANA), of(people, CARLA), of(people, DINA), NOBODY, of(people, ANA)]
    body = {"groupId": people, "userIds": asked}
    answer = client.simulate_post("/admin/removalQueue/hardcode-populate", json=body)
    assert answer.status_code == 200
    assert answer.json == {
        "intended": 4,
        "inserted": 1,
        "missing": 1,
        "missingUserIds": [NOBODY],
        "skippedWhitelisted": 1,
        "skippedWhitelistedIds": [of(people, CARLA)],
        "skippedOthers": 1,
        "skippedOtherIds": [of(people, DINA)],
    }


def test_only_one_groups_queue_is_cleared_unless_all_is_said(client: testing.TestClient, people: str) -> None:
    body = {"groupId": people, "participants": [of(people, ANA)]}
    client.simulate_post("/admin/removalQueue", json=body)
    path = "/admin/removalQueue"
    for query in ("", "all=false", "all=1", "all=", f"all=true&groupWaId={people}", "group=x"):
        assert client.simulate_delete(path, query_string=query).status_code == 400, query
    assert names(client.simulate_get(f"{path}?groupWaId={people}").json) == [ANA]
    cleared = client.simulate_delete(f"{path}?groupWaId={people}")
    assert (cleared.status_code, cleared.json["deletedCount"]) == (200, 1)
    client.simulate_post("/admin/removalQueue", json=body)
    assert client.simulate_delete(f"{path}?all=true").json["deletedCount"] >= 1
    assert client.simulate_get(path).json == []


def test_a_run_is_a_tracked_job(client: testing.TestClient, people: str) -> None:
    answer = client.simulate_post("/admin/removalQueue/run", json={"groupWaId": people, "delayMs": 10_000})
    assert answer.status_code == 202, answer.text
    expected = {"groupWaId": people, "batchSize": 5, "delayMs": 10_000, "dryRun": True}
    assert answer.json["config"] == expected
    assert set(answer.json) == {"message", "config", "jobId"}
    job = wait_for_status(client, answer.json["jobId"], "completed")
    assert (job["type"], job["config"]) == ("removal_queue", expected)


def test_a_workflow_run_has_no_defaults(client: testing.TestClient, people: str) -> None:
    path = "/admin/removalQueue/runWorkflow"
    refused = client.simulate_post(path, json={"groupWaId": people})
    fields = [fault["field"] for fault in refused.json["errors"]]
    assert (refused.status_code, fields) == (400, ["batchSize", "delayMs", "dryRun", "inactivityWindowMs"])
    body = {"groupWaId": people, "batchSize": 5, "delayMs": 10_000, "dryRun": True, "inactivityWindowMs": 30 * DAY_MS}
    assert client.simulate_post(path, json=body | {"type": "walk"}).status_code == 400
    headers = {"Idempotency-Key": f"run {people}"}
    started = client.simulate_post(path, json=body, headers=headers)
    assert started.status_code == 202
    assert client.simulate_post(path, json=body, headers=headers).json == started.json
    job = status(client, started.json["jobId"])
    assert (job["type"], job["config"]) == ("removal_workflow", body)
    client.simulate_post(f"/admin/jobs/{started.json['jobId']}/cancel")


def test_the_history_is_newest_first_and_in_pages(client: testing.TestClient, manager: JobManager, people: str) -> None:
    with manager.store.write() as tx:
        group = GroupRows(tx).get(people)
        ana = MemberRows(tx).find(group, of(people, ANA)).person_id
        bento = MemberRows(tx).find(group, of(people, BENTO)).person_id
        HistoryRows(tx).add(group, [NewHistory(ana, "job_1", SUCCESS, "Inactive user removal", "roster")])
        HistoryRows(tx).add(group, [NewHistory(bento, None, FAILURE, "not acceptable", "evolution", code="406")])
    first = client.simulate_get(f"/admin/removalHistory?groupWaId={people}&limit=1")
    assert (first.status_code, names(first.json)) == (200, [BENTO])
    assert (first.json[0]["outcome"], first.json[0]["code"], first.json[0]["via"]) == ("FAILURE", "406", "evolution")
    second = client.simulate_get(first.headers["link"].split(">")[0].removeprefix("<"))
    assert (names(second.json), second.json[0]["jobId"]) == ([ANA], "job_1")
    assert "link" not in second.headers

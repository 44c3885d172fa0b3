"""Whom a whitelist entry protects, and that nobody is chosen by a number which only may be theirs."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from falcon import testing

from runner.groups.group import GroupRows
from runner.groups.member import MemberEntry, MemberRows
from runner.groups.person import PersonRows
from runner.groups.whitelist import WhitelistRows
from runner.manager import JobManager

PATH = "/admin/lists/whitelist"
Json = dict[str, Any]
_numbers = count(1)


def pn(digits: str) -> str:
    return f"{digits}@s.whatsapp.net"


class Neighbours:
    """A group of Ana, who is listed without the ninth digit of her number, and whom a test adds."""

    def __init__(self, client: testing.TestClient, manager: JobManager, group: str) -> None:
        self.client, self.manager, self.wa_id = client, manager, group
        self.local = f"{next(_numbers):08d}"
        self.put(MemberEntry(pn=pn(self.ana), name="Ana"))

    @property
    def ana(self) -> str:
        return f"5511{self.local}"

    @property
    def ana_written(self) -> str:
        return f"+55 11 9{self.local[:4]}-{self.local[4:]}"

    def put(self, *entries: MemberEntry, left: bool = False) -> None:
        with self.manager.store.write() as tx:
            group = GroupRows(tx).create(self.wa_id)
            found = MemberRows(tx).put_all(group, entries, tx.now)
            if left:
                MemberRows(tx).leave(group, sorted(found), tx.now)

    def add(self, **given: str) -> Json:
        answer = self.client.simulate_post(PATH, json={"groupId": self.wa_id, **given})
        assert answer.status_code == 200, answer.text
        said: Json = answer.json
        assert said.pop("message") == "Added to whitelist"
        return said

    def refused(self, method: str, path: str, **given: Any) -> Json:
        answer = self.client.simulate_request(method, path, json=given)
        assert answer.status_code == 400, answer.text
        (fault,) = answer.json["errors"]
        found: Json = fault
        return found


@pytest.fixture
def here(client: testing.TestClient, manager: JobManager, group: str) -> Neighbours:
    return Neighbours(client, manager, group)


def test_whom_an_entry_protects_is_said(here: Neighbours) -> None:
    said = here.add(phoneNumber=f"+55 11 {here.local}")
    person = said.pop("person")
    assert (person["name"], person["phoneNumber"]) == ("Ana", pn(here.ana))
    assert said == {"inGroup": True}


def test_a_number_that_is_nobodys_is_kept_for_the_day_they_join(here: Neighbours) -> None:
    said = here.add(phoneNumber=f"+55 11 {here.local[:-1]}")
    assert said == {
        "inGroup": False,
        "note": "nobody in this group has this number: kept for the day they join",
    }


def test_whose_number_it_may_be_is_said(here: Neighbours) -> None:
    said = here.add(phoneNumber=here.ana_written)
    assert [one["phoneNumber"] for one in said.pop("mayAlsoBe")] == [pn(here.ana)]
    assert said == {
        "inGroup": False,
        "note": f"nobody in this group has just this number; it may be that of Ana (+{here.ana}), who stays for it",
    }


def test_that_members_without_a_number_may_have_it_is_said(here: Neighbours) -> None:
    here.put(MemberEntry(lid=f"77{here.local}@lid"))
    note = here.add(phoneNumber="+44 7700 900199")["note"]
    assert note == (
        "nobody in this group has this number: kept for the day they join; but of 1 member it is not known, and it may "
        "be theirs: nobody is removed whose number the list does not show"
    )


def test_that_they_have_left_is_said(here: Neighbours) -> None:
    here.put(MemberEntry(pn=pn(f"4477{here.local}"), name="Ben"), left=True)
    said = here.add(phoneNumber=f"+4477{here.local}")
    assert (said["person"]["name"], said["inGroup"]) == ("Ben", False)
    assert said["note"] == f"Ben (+4477{here.local}) is not in the group any more: kept for the day they come back"


@pytest.mark.parametrize(("field", "text"), [("phoneNumber", "0151 30000002"), ("whatsappId", pn("015130000002"))])
def test_a_number_without_its_country_code_is_refused(here: Neighbours, field: str, text: str) -> None:
    for method in ("POST", "DELETE"):
        fault = here.refused(method, PATH, **{"groupId": here.wa_id, field: text})
        assert fault == {
            "field": field,
            "message": f"{field} begins with 0: write it with its country code, such as +49 …",
        }


def test_00_is_a_plus(here: Neighbours) -> None:
    assert here.add(phoneNumber=f"0055 11 {here.local}")["inGroup"]
    assert here.add(whatsappId=pn(f"0055 11{here.local}".replace(" ", "")))["inGroup"]


@pytest.mark.parametrize("text", ["+44 7700 900103 x5", "4.47E+11", "12345", "1" * 16, "Ana"])
def test_what_is_no_number_is_refused(here: Neighbours, text: str) -> None:
    assert here.refused("POST", PATH, groupId=here.wa_id, phoneNumber=text)["field"] == "phoneNumber"


def test_an_entry_of_an_earlier_version_is_taken_off(here: Neighbours) -> None:
    """It was kept as it was written, without a country code."""
    old = f"0{here.local}"
    with here.manager.store.write() as tx:
        WhitelistRows(tx).add(GroupRows(tx).get(here.wa_id), PersonRows(tx).resolve(None, pn(old)))
    taken = here.client.simulate_delete(
        PATH, json={"groupId": here.wa_id, "phoneNumber": f"0{here.local[:4]} {old[5:]}"}
    )
    assert taken.status_code == 200, taken.text


def test_who_is_not_on_it_may_be_by_another_spelling(here: Neighbours) -> None:
    here.add(phoneNumber=here.ana_written)
    answer = here.client.simulate_delete(PATH, json={"groupId": here.wa_id, "phoneNumber": f"+{here.ana}"})
    assert answer.status_code == 404
    assert answer.json["detail"] == (
        f"This person is not on the whitelist of this group; +55119{here.local} is, and may be the same: name that"
    )


QUEUES = [("/admin/removalQueue", "participants"), ("/admin/removalQueue/hardcode-populate", "userIds")]


@pytest.mark.parametrize(("path", "field"), QUEUES)
@pytest.mark.parametrize("is_known", [False, True], ids=["nobody", "somebody elsewhere"])
def test_nobody_is_queued_by_a_number_that_only_may_be_theirs(
    here: Neighbours, path: str, field: str, is_known: bool
) -> None:
    given = pn(f"55119{here.local}")
    if is_known:
        here.add(whatsappId=given)
    fault = here.refused("POST", path, **{"groupId": here.wa_id, field: ["1@lid", given]})
    assert fault == {
        "field": f"{field}[1]",
        "message": f"{field}[1] is no member's id here; it may be that of Ana (+{here.ana}), {pn(here.ana)}: "
        "name whom you mean by their own id",
    }
    assert here.client.simulate_get(f"/admin/removalQueue?groupWaId={here.wa_id}").json == []


@pytest.mark.parametrize(("path", "field"), QUEUES)
def test_a_number_without_its_country_code_is_not_queued(here: Neighbours, path: str, field: str) -> None:
    fault = here.refused("POST", path, **{"groupId": here.wa_id, field: [pn("015130000002")]})
    assert fault["message"] == f"{field}[0] begins with 0: write it with its country code, such as +49 …"


@pytest.mark.parametrize(("path", "field"), QUEUES)
def test_the_very_number_is_queued(here: Neighbours, path: str, field: str) -> None:
    given = {"groupId": here.wa_id, field: [f"00{here.ana}:12@c.us"]}
    assert here.client.simulate_post(path, json=given).status_code == 200
    (entry,) = here.client.simulate_get(f"/admin/removalQueue?groupWaId={here.wa_id}").json
    assert entry["user"]["phoneNumber"] == pn(here.ana)


def test_a_members_number_is_read_the_same_way(here: Neighbours) -> None:
    path = f"/admin/members?groupWhatsappId={here.wa_id}&userWhatsappId="
    assert here.client.simulate_get(path + pn(f"00{here.ana}")).json["user"]["name"] == "Ana"
    refused = here.client.simulate_get(path + pn("015130000002"))
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "userWhatsappId")
    change = {"userWhatsappId": pn("015130000002"), "groupWhatsappId": here.wa_id, "role": "ADMIN"}
    assert here.refused("PATCH", "/admin/members/role", **change)["field"] == "userWhatsappId"

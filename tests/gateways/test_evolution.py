"""The Evolution adapter against what the real server was seen to say: every row of gateways.md 2.2 and 2.3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from runner.gateway import (
    AuthFailed,
    BadRequest,
    GatewayError,
    GroupGone,
    NotAdmin,
    NotConnected,
    OutcomeKind,
    Participant,
    RateLimited,
    Transient,
)
from runner.gateways.access import Access
from runner.gateways.evolution import EvolutionGateway
from tests.gateways.fake import FakeServer, control
from tests.gateways.fixtures import GROUP, Canned, fixture

L1, L3, L4 = "100000000000001@lid", "100000000000003@lid", "100000000000004@lid"
P1, P3 = "5511900000000@s.whatsapp.net", "5511900000002@s.whatsapp.net"
NOT_THERE = "999999999999999@lid"
REMOVED, GONE, REFUSED = OutcomeKind.REMOVED, OutcomeKind.ALREADY_GONE, OutcomeKind.REFUSED
UNKNOWN, LATER = OutcomeKind.UNKNOWN, OutcomeKind.LATER


@contextmanager
def evolution(*known: str) -> Iterator[tuple[EvolutionGateway, Canned]]:
    """Against these answers; whatever else is asked fails the test."""
    with Canned(*known) as canned:
        yield EvolutionGateway(Access(canned.url, SecretStr("key-of-evolution"), "p2"), 75), canned
        assert canned.strange == []


def in_time() -> float:
    return 75.0


def kinds(gateway: EvolutionGateway, *ids: str) -> list[OutcomeKind]:
    outcomes = gateway.remove(GROUP, ids, in_time)
    assert list(outcomes) == list(ids)
    return [outcome.kind for outcome in outcomes.values()]


# -- 2.1: calls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["evolution-group", "evolution-group-2.3.4"])
def test_a_group_in_either_spelling(name: str) -> None:
    with evolution(name, "evolution-instances") as (gateway, _):
        listing = gateway.list_group(GROUP)
    assert (listing.name, listing.size, listing.lacks_us) == ("Neighbours", 3, False)
    assert listing.participants == (
        Participant(L1, L1, P1, "superadmin", is_me=True),
        Participant(L3, L3, P3, "member"),
        Participant(L4, L4, None, "member"),
    )


def test_a_group_that_lists_by_number_is_removed_from_by_number() -> None:
    with evolution("evolution-group-by-number", "evolution-instances") as (gateway, _):
        assert [one.id for one in gateway.list_group(GROUP).participants] == [P1, P3, L4]
        assert [one.lid for one in gateway.list_group(GROUP).participants] == [L1, L3, L4]


def test_who_we_are_is_asked_once_and_may_stay_unknown() -> None:
    with evolution("evolution-group", "evolution-instances") as (gateway, canned):
        gateway.list_group(GROUP)
        gateway.list_group(GROUP)
        assert canned.asked.count("evolution-instances") == 1
    with Canned("evolution-group") as canned:
        gateway = EvolutionGateway(Access(canned.url, SecretStr("key-of-evolution"), "p2"), 75)
        listing = gateway.list_group(GROUP)
        assert (listing.me, listing.lacks_us) == (None, False)


def test_the_kinds_of_groups() -> None:
    said = {}
    for name in ("evolution-group", "evolution-group-community", "evolution-group-announcement"):
        with evolution(name, "evolution-instances") as (gateway, _):
            listing = gateway.list_group(GROUP)
            said[name] = (listing.is_community, listing.is_announcement)
    assert list(said.values()) == [(False, False), (True, False), (False, True)]


@pytest.mark.parametrize(("state", "is_open"), [("open", True), ("connecting", False), ("close", False)])
def test_the_state_of_the_connection(state: str, is_open: bool) -> None:
    with evolution(f"evolution-state-{state}") as (gateway, _):
        connection = gateway.connection()
    assert connection.is_open is is_open
    assert "instance" in connection.words or is_open


def test_each_keeps_their_own_outcome() -> None:
    with evolution("evolution-state-open", "evolution-remove") as (gateway, canned):
        assert kinds(gateway, L3, L1, NOT_THERE) == [REMOVED, REFUSED, GONE]
        assert canned.asked == ["evolution-state-open", "evolution-remove"]


# -- 2.2: errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("evolution-group-wrong-key", AuthFailed),
        ("evolution-group-unknown-instance", BadRequest),
        ("evolution-group-never-connected", NotConnected),
        ("evolution-group-closed", NotConnected),
        ("evolution-group-unknown", GroupGone),
        ("evolution-group-forbidden", GroupGone),
        ("evolution-group-rate-overlimit", RateLimited),
    ],
)
def test_a_listing_that_does_not_come(name: str, error: type[GatewayError]) -> None:
    with evolution(name) as (gateway, canned):
        with pytest.raises(error) as raised:
            gateway.list_group(GROUP)
        assert type(raised.value) is error
        assert raised.value.nothing_sent
        assert canned.asked == [name]


def test_a_list_for_which_whatsapp_gave_no_answer_is_known_by_name(tmp_path: Path) -> None:
    """The connection is not asked for then: it is not what is wrong."""
    with evolution("evolution-group-unanswered") as (gateway, canned):
        with pytest.raises(Transient, match="WhatsApp did not answer the gateway in time") as raised:
            gateway.list_group(GROUP)
        assert raised.value.nothing_sent
        assert canned.asked == ["evolution-group-unanswered"]


def test_a_list_has_longer_than_a_call(tmp_path: Path) -> None:
    """Evolution asks WhatsApp twice for it; a call of a second waits 1.7 s for its list."""
    control(tmp_path, groups={GROUP: {"people": [{"lid": L3}]}}, faults={"list": {"*": {"before": 1.2}}})
    with FakeServer(tmp_path) as fake:
        gateway = EvolutionGateway(Access(fake.url, SecretStr("key-of-evolution"), "p2"), 1.0)
        assert [one.id for one in gateway.list_group(GROUP).participants] == [L3]


@pytest.mark.parametrize(
    ("state", "error"), [("open", Transient), ("connecting", NotConnected), ("close", NotConnected)]
)
def test_a_text_that_is_not_known_is_judged_by_the_connection(state: str, error: type[GatewayError]) -> None:
    with evolution("evolution-group-not-understood", f"evolution-state-{state}") as (gateway, _):
        with pytest.raises(error) as raised:
            gateway.list_group(GROUP)
        assert (type(raised.value), raised.value.retryable) == (error, True)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("evolution-remove-wrong-key", AuthFailed),
        ("evolution-remove-unknown-instance", BadRequest),
        ("evolution-remove-never-connected", NotConnected),
        ("evolution-remove-rate-overlimit", RateLimited),
        ("evolution-remove-resource-limit", RateLimited),
        ("evolution-remove-forbidden", NotAdmin),
        ("evolution-remove-not-authorized", NotAdmin),
        ("evolution-remove-item-not-found", GroupGone),
        ("evolution-remove-gone", GroupGone),
        ("evolution-remove-not-acceptable", BadRequest),
        ("evolution-remove-not-allowed", BadRequest),
        ("evolution-remove-bad-request", BadRequest),
        ("evolution-remove-locked", BadRequest),
    ],
)
def test_a_removal_that_was_refused_for_certain(name: str, error: type[GatewayError]) -> None:
    with evolution("evolution-state-open", name) as (gateway, canned):
        with pytest.raises(error) as raised:
            gateway.remove(GROUP, [L3, L4], in_time)
        assert (type(raised.value), raised.value.nothing_sent) == (error, True)
        assert canned.asked == ["evolution-state-open", name]


@pytest.mark.parametrize(
    "name",
    [
        "evolution-remove-empty",
        "evolution-remove-closed",  # closed before it was sent, or before it was answered: nobody can tell
        "evolution-remove-timed-out",
        "evolution-remove-not-understood",
        "evolution-remove-internal-server-error",
        "evolution-remove-service-unavailable",
        "evolution-remove-partial-server-error",
    ],
)
def test_a_removal_of_which_nobody_can_say_what_became(name: str) -> None:
    with evolution("evolution-state-open", name) as (gateway, canned):
        assert kinds(gateway, L3, L4) == [UNKNOWN, UNKNOWN]
        assert canned.asked.count(name) == 1


@pytest.mark.parametrize("state", ["connecting", "close"])
def test_nothing_is_sent_while_it_is_not_connected(state: str) -> None:
    with evolution(f"evolution-state-{state}", "evolution-remove") as (gateway, canned):
        with pytest.raises(NotConnected) as raised:
            gateway.remove(GROUP, [L3], in_time)
        assert raised.value.nothing_sent
        assert canned.asked == [f"evolution-state-{state}"]


@pytest.mark.parametrize("name", ["evolution-remove-bad-action", "evolution-remove-bad-id", "evolution-remove-nobody"])
def test_a_request_that_is_against_its_rules(name: str) -> None:
    """Ours never are, so its answer is read in another's place."""
    with Canned("evolution-state-open", name) as canned:
        gateway = EvolutionGateway(Access(canned.url, SecretStr("key-of-evolution"), "p2"), 75)
        known = fixture(name)
        answer = gateway._distant.channel.ask("POST", known.path, params=known.query, body=known.body, seconds=10)
    with pytest.raises(BadRequest) as raised:
        gateway._outcomes(answer, GROUP, [L3])
    assert "Evolution does not take the request" in str(raised.value)


def test_a_call_that_it_does_not_have() -> None:
    with Canned("evolution-wrong-method") as canned:
        gateway = EvolutionGateway(Access(canned.url, SecretStr("key-of-evolution"), "p2"), 75)
        known = fixture("evolution-wrong-method")
        answer = gateway._distant.channel.ask("PUT", known.path, params=known.query, body=known.body, seconds=10)
    with pytest.raises(BadRequest):
        gateway._outcomes(answer, GROUP, [L3])


def test_what_is_no_id_is_never_sent() -> None:
    bare = ["5511900000002", "5511900000002:12@s.whatsapp.net", "", "120363000000000001@g.us"]
    with evolution() as (gateway, _):
        assert kinds(gateway, *bare) == [REFUSED] * 4
    with evolution("evolution-state-open", "evolution-remove-200") as (gateway, _):
        assert kinds(gateway, "5511900000002", L3) == [REFUSED, REMOVED]


# -- 2.3: codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("200", REMOVED),
        ("404", GONE),
        ("403", REFUSED),
        ("401", REFUSED),
        ("406", REFUSED),
        ("405", REFUSED),
        ("410", REFUSED),
        ("423", REFUSED),
    ],
)
def test_a_code_for_one_person(code: str, kind: OutcomeKind) -> None:
    known = ["evolution-state-open", f"evolution-remove-{code}", "evolution-group", "evolution-instances"]
    with evolution(*known) as (gateway, canned):
        outcome = gateway.remove(GROUP, [L3], in_time)[L3]
        assert outcome.kind is kind
        if kind is REFUSED:
            assert outcome.code == code
            assert code in (outcome.reason or "")
        # of one person alone nobody can say whether they or we lack the right: the group is asked who is an admin
        assert ("evolution-group" in canned.asked) is (code in ("401", "403"))


@pytest.mark.parametrize("code", ["429", "419", "500", "503", "530"])
def test_a_code_that_says_slow_down(code: str) -> None:
    with evolution("evolution-state-open", f"evolution-remove-{code}") as (gateway, _):
        with pytest.raises(RateLimited) as raised:
            gateway.remove(GROUP, [L3], in_time)
        assert raised.value.nothing_sent


def test_some_are_put_off_and_the_others_keep_theirs() -> None:
    with evolution("evolution-state-open", "evolution-remove-put-off") as (gateway, _):
        assert kinds(gateway, L3, L4) == [LATER, REMOVED]


def test_everybody_put_off_is_a_pause_for_the_whole() -> None:
    known = ("evolution-state-open", "evolution-remove-429-for-everybody")
    with evolution(*known) as (gateway, _), pytest.raises(RateLimited):
        gateway.remove(GROUP, [L3, L4], in_time)


def test_everybody_refused_while_we_are_an_admin_is_each_persons_own() -> None:
    known = ("evolution-state-open", "evolution-remove-403-for-everybody", "evolution-group", "evolution-instances")
    with evolution(*known) as (gateway, canned):
        outcomes = gateway.remove(GROUP, [L3, L4], in_time)
        assert [(one.kind, one.code) for one in outcomes.values()] == [(REFUSED, "403")] * 2
        assert canned.asked.count("evolution-group") == 1


def test_everybody_refused_while_we_are_no_admin_is_want_of_rights(tmp_path: Path) -> None:
    people = [{"lid": L1, "pn": P1}, {"lid": L3}, {"lid": L4}]
    control(tmp_path, me={"pn": P1}, groups={GROUP: {"people": people}})
    with FakeServer(tmp_path) as fake:
        gateway = EvolutionGateway(Access(fake.url, SecretStr("key-of-evolution"), "p2"), 75)
        with pytest.raises(NotAdmin) as raised:
            gateway.remove(GROUP, [L3, L4], in_time)
    assert "we are not an admin of this group" in str(raised.value)


@pytest.mark.parametrize("ids", [[L3], [L3, L4]])
def test_refused_where_it_cannot_be_told_whether_we_are_an_admin(ids: list[str]) -> None:
    refusal = "evolution-remove-403" if len(ids) == 1 else "evolution-remove-403-for-everybody"
    with Canned("evolution-state-open", refusal, "evolution-group-by-number") as canned:
        gateway = EvolutionGateway(Access(canned.url, SecretStr("key-of-evolution"), "p2"), 75)
        with pytest.raises(NotAdmin) as raised:
            gateway.remove(GROUP, ids, in_time)
    assert "cannot be told" in str(raised.value)

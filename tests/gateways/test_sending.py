"""Whether messages of groups can come in, by what a gateway is set to send."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from runner.gateway import SendsEvents
from runner.gateways.access import Access
from runner.gateways.evolution import EvolutionGateway
from runner.gateways.waha import WahaGateway
from tests.gateways.fixtures import Canned
from tests.waiting import free_port

NOT_ASKED = (
    "whether the instance ignores groups (groupsIgnore) could not be asked",
    "what the instance's webhook sends could not be asked",
)


def said(*known: str) -> list[tuple[str, bool]]:
    """The words, and whether they are fine."""
    with Canned(*known) as canned:
        gateway: EvolutionGateway | WahaGateway
        if known[0].startswith("waha"):
            gateway = WahaGateway(Access(canned.url, SecretStr("key-of-waha"), "default"), 75)
        else:
            gateway = EvolutionGateway(Access(canned.url, SecretStr("key-of-evolution"), "p2"), 75)
        assert isinstance(gateway, SendsEvents)
        found = gateway.sending()
    assert "a-secret" not in str(found)
    return [(one.words, one.next_step is None) for one in found]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (("evolution-settings-groups-ignored", "evolution-hook"), "groupsIgnore is on"),
        (("evolution-settings", "evolution-hook-without-messages"), "does not send MESSAGES_UPSERT"),
        (("waha-session-groups-ignored",), "ignore.groups is on"),
        (("waha-session-without-messages",), "sends message or message.any"),
    ],
)
def test_what_keeps_messages_of_groups_from_coming_is_said(known: tuple[str, ...], words: str) -> None:
    ((found, is_fine),) = said(*known)
    assert words in found
    assert "no group message can come in" in found
    assert not is_fine


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (("evolution-settings", "evolution-hook-none"), "no webhook of its own that is switched on"),
        (("evolution-settings", "evolution-hook-off"), "no webhook of its own that is switched on"),
        (("waha-session-without-webhook",), "the session has no webhook of its own"),
    ],
)
def test_without_a_webhook_of_its_own_there_may_be_one_of_all(known: tuple[str, ...], words: str) -> None:
    ((found, is_fine),) = said(*known)
    assert words in found
    assert "only if one of all" in found
    assert is_fine


@pytest.mark.parametrize("known", [("evolution-settings", "evolution-hook"), ("waha-session-sends",)])
def test_where_they_come_that_is_said(known: tuple[str, ...]) -> None:
    assert said(*known) == [("the webhook is set to send messages of groups", True)]


def test_both_at_once() -> None:
    assert [fine for _, fine in said("evolution-settings-groups-ignored", "evolution-hook-none")] == [False, True]


def test_what_is_not_answered_could_not_be_asked() -> None:
    assert said("evolution-state-open") == [(words, True) for words in NOT_ASKED]
    assert said("waha-session") == [("what the session's webhook sends could not be asked", True)]
    nobody = Access(f"http://127.0.0.1:{free_port()}", SecretStr("key-of-evolution"), "p2")
    asked = EvolutionGateway(nobody, 75).sending()
    assert [(one.words, one.is_known) for one in asked] == [(words, False) for words in NOT_ASKED]

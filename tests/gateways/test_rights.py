"""Everybody of a removal is refused for want of rights: whose want it is, is told by a list that can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from runner.gateway import GatewayError, GroupGone, NotAdmin, NotConnected, RateLimited, Transient
from runner.gateways.access import Access
from runner.gateways.evolution import EvolutionGateway
from runner.gateways.waha import WahaGateway
from tests.gateways.fake import FakeServer, control
from tests.gateways.fixtures import GROUP

ME, P_ME = "100000000000001@lid", "5511900000000@s.whatsapp.net"
WHO = ("100000000000003@lid", "100000000000004@lid")


def refused(kind: str, folder: Path, *, us: bool = True, group: dict[str, Any] | None = None, **more: Any) -> Any:
    """The error of one removal in which all are refused."""
    people = [{"lid": known, "pn": f"551190000000{known[14]}@s.whatsapp.net"} for known in WHO]
    people += [{"lid": ME, "pn": P_ME, "role": "admin"}] if us else []
    codes = dict.fromkeys(WHO, "403")
    control(folder, me={"pn": P_ME}, groups={GROUP: {"people": people, "codes": codes} | (group or {})}, **more)
    with FakeServer(folder) as fake:
        gateway: EvolutionGateway | WahaGateway
        if kind == "waha":
            gateway = WahaGateway(Access(fake.url, SecretStr("key-of-waha"), "default"), 75)
        else:
            gateway = EvolutionGateway(Access(fake.url, SecretStr("key-of-evolution"), "p2"), 75)
        with pytest.raises(GatewayError) as raised:
            gateway.remove(GROUP, WHO, lambda: 75.0)
        assert len(fake.calls("remove")) == 1
    assert raised.value.nothing_sent
    return raised.value


@pytest.mark.parametrize("kind", ["evolution", "waha"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [("http429", RateLimited), ("text:Connection Closed", NotConnected), ("garbage", Transient), ("reset", Transient)],
)
def test_a_list_that_does_not_come_for_the_moment_does_not_say_that_we_are_no_admin(
    tmp_path: Path, kind: str, fault: str, error: type[GatewayError]
) -> None:
    raised = refused(kind, tmp_path, faults={"list": {"*": fault}})
    assert (type(raised), raised.retryable) == (error, True)
    if error is RateLimited:
        assert raised.after_seconds == 7


@pytest.mark.parametrize("group", [{"size": 9}, {"first": 0}, {"size": 9, "first": 1}], ids=str)
def test_a_list_that_is_cut_short_does_not_say_it_either(tmp_path: Path, group: dict[str, Any]) -> None:
    raised = refused("evolution", tmp_path, us="first" not in group, group=group)
    assert (type(raised), raised.retryable) == (Transient, True)


@pytest.mark.parametrize("kind", ["evolution", "waha"])
def test_a_list_without_us_says_that_we_are_out(tmp_path: Path, kind: str) -> None:
    assert type(refused(kind, tmp_path, us=False)) is GroupGone


@pytest.mark.parametrize("kind", ["evolution", "waha"])
def test_a_list_that_never_comes_leaves_it_open_whose_want_it_is(tmp_path: Path, kind: str) -> None:
    raised = refused(kind, tmp_path, faults={"list": {"*": "401"}})
    assert (type(raised), raised.retryable) == (NotAdmin, False)
    assert "cannot be told" in str(raised)

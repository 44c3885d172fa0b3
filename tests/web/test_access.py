"""Who may call what: every route, with every method, by everybody; made from the table of routes itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import falcon
import pytest
from falcon import testing

from runner.manager import JobManager
from runner.stores.tokens import TokenRows
from runner.token import Role, new_token
from web.access import ROUTES, Access, GuardedRouter, RouteWithoutRole, Untokened
from web.app import create_app

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
NOWHERE = ("/nowhere", "/admin", "/admin/jobs/x/y/z", "//nowhere", "/livez/x", "/admin/%2e%2e/livez")
CHALLENGE = 'Bearer realm="cancellable-jobs"'
PROBLEM = "application/problem+json"
Tokens = dict[str, str]

_numbers = count(1)


@pytest.fixture(scope="module")
def tokens(manager: JobManager) -> Tokens:
    """By what is true of them. That they exist closes the server, so no other test may share its manager."""
    with manager.store.write() as tx:
        rows = TokenRows(tx)
        made = {role.value: rows.add(role.value, role) for role in Role}
        made |= {"expired": rows.add("expired", Role.ADMIN, tx.now), "revoked": rows.add("revoked", Role.ADMIN)}
        rows.revoke("revoked")
    return made | {"unknown": new_token(), "nonsense": "é", "empty": ""}


def ask(client: testing.TestClient, method: str, path: str, token: str | None) -> testing.Result:
    """Each time from another address, since wrong tokens are counted for each."""
    number = next(_numbers)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return client.simulate_request(method, path, headers=headers, remote_addr=address)


def needed(path: str, method: str) -> Access:
    """What the table says; for a method that is not there any token, unless nothing at all is asked for there."""
    methods = ROUTES.get(path, {})
    open_to_all = bool(methods) and all(isinstance(access, Untokened) for access in methods.values())
    return methods.get(method, Untokened.OPEN if open_to_all else Role.VIEWER)


def filled(path: str) -> str:
    return path.replace("{job_id}", "job_1").replace("{group_id}", "1").replace("{event}", "call")


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", sorted({*ROUTES, *NOWHERE}))
def test_everybody_gets_what_their_role_allows(
    client: testing.TestClient, tokens: Tokens, path: str, method: str
) -> None:
    access = needed(path, method)
    missing = 404 if path in NOWHERE else 400 if method == "BREW" else 405
    is_there = method in (*ROUTES.get(path, ()), *(("OPTIONS",) if path in ROUTES else ()))
    for name, token in {"none": None, **tokens}.items():
        answer = ask(client, method, filled(path), token)
        said = f"{method} {path} by {name}: {answer.status} {answer.text[:200]}"
        if isinstance(access, Untokened):
            assert answer.status_code not in (403, 429, 500), said
            assert access is not Untokened.OPEN or answer.status_code != 401, said
        elif name not in list(Role):
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, CHALLENGE), said
            assert answer.headers["content-type"] == PROBLEM
        elif not Role(name).includes(access):
            assert answer.status_code == 403, said
            assert access.value in answer.json["detail"]
        else:
            assert answer.status_code not in (401, 403, 429, 500), said
            assert (answer.status_code == missing) is (not is_there), said


def test_no_token_and_a_wrong_one_are_told_the_same(client: testing.TestClient, tokens: Tokens) -> None:
    wrong = [tokens[name] for name in ("expired", "revoked", "unknown", "nonsense", "empty")]
    answers = [ask(client, "GET", "/admin/jobs", token) for token in (None, *wrong)]
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.headers["www-authenticate"] for answer in answers}) == 1


def test_who_may_not_is_told_which_role_may(client: testing.TestClient, tokens: Tokens) -> None:
    answer = ask(client, "POST", "/admin/jobs/job_1/cancel", tokens["viewer"])
    assert answer.json["detail"] == "This needs a token of the role operator; viewer is viewer"


def allowed_to(access: Access) -> Iterator[str]:
    return (f"{method} {path}" for path, methods in ROUTES.items() for method in methods if methods[method] is access)


def test_the_table_keeps_to_the_rules() -> None:
    """Who only looks changes nothing; deleting and the lists are the admin's; few routes are open, and known."""
    assert {call.split()[0] for call in allowed_to(Role.VIEWER)} == {"GET"}
    assert {call.split()[0] for call in allowed_to(Role.OPERATOR)} == {"POST"}
    assert set(allowed_to(Untokened.OPEN)) == {"GET /livez"}
    assert not [call for call in allowed_to(Untokened.OWN_SECRET) if "/admin" in call or call.split()[0] != "POST"]
    reads = {f"GET {path}" for path, methods in ROUTES.items() if "GET" in methods} - {"GET /livez"}
    assert reads == set(allowed_to(Role.VIEWER))


class Resource:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None: ...

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None: ...


@pytest.mark.parametrize(
    ("routes", "path"),
    [
        ({}, "/x"),
        ({"/y": {"GET": Role.VIEWER, "DELETE": Role.ADMIN}}, "/x"),
        ({"/x": {"GET": Role.VIEWER}}, "/x"),
        ({"/x": {"GET": Role.VIEWER, "DELETE": Role.ADMIN, "POST": Role.ADMIN}}, "/x"),
        ({"/x": {}}, "/x"),
    ],
)
def test_a_route_without_roles_cannot_be_added(routes: dict[str, dict[str, Access]], path: str) -> None:
    app = falcon.App(router=GuardedRouter(routes))
    with pytest.raises(RouteWithoutRole, match=r"web/access\.py .* /x has: DELETE, GET"):
        app.add_route(path, Resource())


def test_a_route_with_its_roles_is_added() -> None:
    app = falcon.App(router=GuardedRouter({"/x": {"GET": Role.VIEWER, "DELETE": Untokened.OWN_SECRET}}))
    app.add_route("/x", Resource())
    assert testing.TestClient(app).simulate_get("/x").status_code == 200


def test_what_stands_in_the_table_is_there(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[str] = []
    add = GuardedRouter.add_route

    def noted(router: GuardedRouter, uri_template: str, resource: object, **more: Any) -> None:
        added.append(uri_template)
        add(router, uri_template, resource, **more)

    monkeypatch.setattr(GuardedRouter, "add_route", noted)
    create_app(manager)
    assert sorted(added) == sorted(ROUTES)

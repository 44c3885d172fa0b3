"""Tokens in the store: what is kept of them, which are valid, and that a revocation counts at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from runner.clock import Clock
from runner.errors import StoreUnavailable, TokenNameTaken, TokenNotFound
from runner.stores.database import SqlStore
from runner.stores.migrate import migrate
from runner.stores.schema import tokens
from runner.stores.tokens import KnownTokens, TokenRows
from runner.token import PREFIX, Role, Token, digest_of, is_token, is_token_name, new_token

NOW = 1_750_000_000_000


class Place:
    """A database and a clock that stands still until it is moved."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.path = folder / "runner.db"
        migrate(self.url)
        self.store = SqlStore(self.url, Clock(lambda: self.now))

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def add(self, name: str, role: Role = Role.ADMIN, expires_at: int | None = None) -> str:
        with self.store.write() as tx:
            return TokenRows(tx).add(name, role, expires_at)

    def find(self, text: str) -> Token | None:
        with self.store.read() as tx:
            return TokenRows(tx).find(text)

    def revoke(self, named: str) -> Token:
        with self.store.write() as tx:
            return TokenRows(tx).revoke(named)

    def all(self) -> list[Token]:
        with self.store.read() as tx:
            return TokenRows(tx).list()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.store.close()


def test_a_token_has_256_random_bits_and_can_be_recognised() -> None:
    text = new_token()
    assert text.startswith(PREFIX)
    assert len(bytes.fromhex(text.removeprefix(PREFIX))) == 32
    assert len({new_token() for _ in range(100)}) == 100
    assert is_token(text)
    assert not any(map(is_token, ("", text[:-1], text + "0", text.upper(), text + "\n", "x" + text)))


@pytest.mark.parametrize("name", ["ci", "Ana.Lima@example.org", "a", "x" * 64])
def test_names_that_can_be_given(name: str) -> None:
    assert is_token_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "7", "-x", "a b", "ana\n", "é", "anonymous", "Anonymous", "x" * 65, pytest.param(new_token(), id="a token")],
)
def test_names_that_would_be_taken_for_something_else(name: str) -> None:
    assert not is_token_name(name)


def test_only_the_hash_is_kept(place: Place) -> None:
    text = place.add("ci", Role.OPERATOR)
    found = place.find(text)
    assert found == Token(1, "ci", Role.OPERATOR, NOW)
    assert text not in repr(found)
    place.store.close()
    kept = b"".join(path.read_bytes() for path in place.path.parent.glob("runner.db*"))
    assert digest_of(text).encode() in kept
    assert text.removeprefix(PREFIX).encode() not in kept


def test_what_is_unknown_expired_or_revoked_is_not_found(place: Place) -> None:
    text, brief = place.add("ci"), place.add("brief", Role.VIEWER, NOW + 1000)
    assert place.find(new_token()) is None
    place.now += 999
    assert place.find(brief) is not None
    place.now += 1
    assert place.find(brief) is None
    assert place.revoke("ci").revoked_at == NOW + 1000
    assert place.find(text) is None


def test_a_name_belongs_to_one_token_until_it_is_revoked(place: Place) -> None:
    first = place.add("ci")
    with pytest.raises(TokenNameTaken, match="ci already"):
        place.add("ci", Role.VIEWER)
    by_hand = tokens.insert().values(name="ci", role="viewer", digest="0" * 64, created_at=0)
    with place.store.write() as tx, pytest.raises(IntegrityError):
        tx.connection.execute(by_hand)
    place.revoke("ci")
    second = place.add("ci", Role.VIEWER)
    assert (place.find(first), getattr(place.find(second), "role", None)) == (None, Role.VIEWER)
    assert [(token.id, token.name, token.revoked_at is None) for token in place.all()] == [
        (1, "ci", False),
        (2, "ci", True),
    ]


def test_a_token_is_revoked_by_its_id_or_name_and_once(place: Place) -> None:
    place.add("ci")
    place.add("ana")
    assert place.revoke("2").name == "ana"
    for named in ("2", "ana", "3", "", "²", "9" * 30, "nobody"):
        with pytest.raises(TokenNotFound):
            place.revoke(named)
    assert [token.revoked_at is None for token in place.all()] == [True, False]


def test_whether_there_is_one(place: Place) -> None:
    def asked() -> tuple[bool, bool]:
        with place.store.read() as tx:
            return TokenRows(tx).any_made(), TokenRows(tx).any_valid()

    assert asked() == (False, False)
    place.add("brief", expires_at=NOW + 1)
    assert asked() == (True, True)
    place.now += 1
    assert asked() == (True, False), "one that has expired was made all the same"
    place.add("ci")
    place.revoke("ci")
    assert asked() == (True, False)


def test_each_role_includes_the_ones_below() -> None:
    assert [[role.includes(other) for other in Role] for role in Role] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


class Counting(SqlStore):
    """Counts the transactions that were read in."""

    reads = 0

    def read(self):  # type: ignore[no-untyped-def]
        self.reads += 1
        return super().read()


def elsewhere(url: str, named: str) -> None:
    store = SqlStore(url, pooled=False)
    with store.write() as tx:
        TokenRows(tx).revoke(named) if named else TokenRows(tx).add("ci", Role.ADMIN)


def in_another_process(url: str, named: str) -> None:
    process = multiprocessing.get_context("spawn").Process(target=elsewhere, args=(url, named))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_what_is_known_is_not_read_again_and_a_revocation_counts_at_once(place: Place) -> None:
    store = Counting(place.url, place.store.clock)
    known = KnownTokens(store)
    assert not known.any_made()
    assert not known.any_made()
    assert store.reads == 1
    text = place.add("ana")
    assert known.any_made(), "made by another connection of this process"
    for _ in range(3):
        found = known.find(text, NOW)
        assert found is not None
        assert found.name == "ana"
    assert store.reads == 3
    in_another_process(place.url, "ana")
    assert known.find(text, NOW) is None, "revoked by another process"
    assert known.any_made()
    store.close()


def test_the_first_token_of_another_process_counts_at_once(place: Place) -> None:
    known = KnownTokens(place.store)
    assert not known.any_made()
    in_another_process(place.url, "")
    assert known.any_made()


def test_a_known_token_expires_all_the_same(place: Place) -> None:
    known, text = KnownTokens(place.store), place.add("brief", expires_at=NOW + 10)
    assert known.find(text, NOW) is not None
    assert known.find(text, NOW + 9) is not None
    assert known.find(text, NOW + 10) is None


def test_a_database_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'gone ?#%20.db'}")
    with pytest.raises(StoreUnavailable, match="unable to open"):
        KnownTokens(store).any_made()
    assert list(tmp_path.iterdir()) == []


def test_any_name_of_a_file_will_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'odd #%20 é.db'}"
    migrate(url)
    store = SqlStore(url)
    assert isinstance(store.version(), int)
    store.close()

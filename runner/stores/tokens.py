"""Tokens in the store: made, found by what a caller sent, revoked. None is ever deleted: jobs name who asked."""

from __future__ import annotations

import hmac
import threading

from sqlalchemy import Row, and_, bindparam, exists, insert, or_, select, update

from runner.errors import DatabaseLost, TokenNameTaken, TokenNotFound
from runner.store import Store, Transaction
from runner.stores.schema import tokens
from runner.token import Role, Token, digest_of, new_token

_BY_DIGEST = select(tokens).where(tokens.c.digest == bindparam("sent"))
_ANY = select(exists().select_from(tokens))
_NOT_REVOKED = tokens.c.revoked_at.is_(None)


class TokenRows:
    """The tokens, within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._run = tx.connection.execute

    def add(self, name: str, role: Role, expires_at: int | None = None) -> str:
        """The text of a new token, which nobody can get again. Raises TokenNameTaken."""
        if self._run(select(tokens.c.id).where(tokens.c.name == name, _NOT_REVOKED)).first() is not None:
            raise TokenNameTaken(name)
        text = new_token()
        values = {"name": name, "role": role.value, "digest": digest_of(text)}
        self._run(insert(tokens).values(created_at=self._tx.now, expires_at=expires_at, **values))
        return text

    def find(self, text: str) -> Token | None:
        """The valid token with this text; None for an unknown, an expired and a revoked one alike."""
        digest = digest_of(text)
        row = self._run(_BY_DIGEST, {"sent": digest}).first()
        if row is None or not hmac.compare_digest(row.digest.encode(), digest.encode()):
            return None
        token = _token(row)
        return token if token.is_valid(self._tx.now) else None

    def any_made(self) -> bool:
        """Whether there ever was one, valid or not."""
        return bool(self._run(_ANY).scalar())

    def any_valid(self) -> bool:
        going = or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > self._tx.now)
        return bool(self._run(select(exists().where(and_(_NOT_REVOKED, going)))).scalar())

    def list(self) -> list[Token]:
        """In the order they were made."""
        return [_token(row) for row in self._run(select(tokens).order_by(tokens.c.id))]

    def revoke(self, named: str) -> Token:
        """``named``: the name of one that is not revoked yet, or an id. Raises TokenNotFound."""
        this = tokens.c.id == int(named) if _is_id(named) else tokens.c.name == named
        change = update(tokens).where(this, _NOT_REVOKED).values(revoked_at=self._tx.now).returning(tokens)
        row = self._run(change).first()
        if row is None:
            raise TokenNotFound
        return _token(row)


class KnownTokens:
    """The tokens as a server asks for them with every request.

    What was read is not read again until something is committed to the database: making and revoking a token are
    such commits, so they count at once, whoever made them. Unknown tokens are not remembered: guesses cost no memory.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = _Seen()
        self._any_made = self._knew_none = False
        self._known: dict[str, Token] = {}  # as they were last read, by whatever thread

    def any_made(self) -> bool:
        """Whether there ever was one, valid or not; none is ever deleted, so a yes stands.

        Where the database is lost, as it was: nobody can make or revoke one, and jobs must be stopped all the same.
        """
        if self._any_made:
            return True
        try:
            seen = self._current()
            if not seen.none_made:
                with self._store.read() as tx:
                    self._any_made = TokenRows(tx).any_made()
                seen.none_made = self._knew_none = not self._any_made
        except DatabaseLost:
            if not self._knew_none:
                raise
        return self._any_made

    def find(self, text: str, now_ms: int) -> Token | None:
        """The valid token with this text; where the database is lost, as it was last read."""
        digest = digest_of(text)
        try:
            token = self._current().tokens.get(digest) or self._read(text, digest)
        except DatabaseLost:
            token = self._known.get(digest)
        return token if token is not None and token.is_valid(now_ms) else None

    def _read(self, text: str, digest: str) -> Token | None:
        with self._store.read() as tx:
            token = TokenRows(tx).find(text)
        if token is None:
            self._known.pop(digest, None)
        else:
            self._seen.tokens[digest] = self._known[digest] = token
        return token

    def _current(self) -> _Seen:
        version = self._store.version()
        if version is None or version != self._seen.version:
            self._seen.forget(version)
        return self._seen


class _Seen(threading.local):
    """What one thread has read since the last commit: a version is a number of its own thread."""

    def __init__(self) -> None:
        self.forget(None)

    def forget(self, version: int | None) -> None:
        self.version = version
        self.none_made = False
        self.tokens: dict[str, Token] = {}


def _is_id(named: str) -> bool:
    return named.isascii() and named.isdigit() and len(named) < 10


def _token(row: Row[tuple[object, ...]]) -> Token:
    return Token(row.id, row.name, Role(row.role), row.created_at, row.expires_at, row.revoked_at)

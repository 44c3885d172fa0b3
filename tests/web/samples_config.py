"""Types whose configs take every kind of value that JSON can carry, and secrets."""

from __future__ import annotations

import datetime
import enum
import hashlib
import ipaddress
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import AnyUrl, BaseModel, Field, SecretBytes, SecretStr

from runner.context import JobContext
from runner.job import JsonDict
from runner.workflow import JobConfig, workflow


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Inner(BaseModel):
    at: datetime.time
    note: str | None = None


class TypedConfig(JobConfig):
    path: Path = Path("/")
    moment: datetime.datetime | None = None
    day: datetime.date | None = None
    span: datetime.timedelta | None = None
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    number: uuid.UUID | None = None
    price: Decimal = Decimal("1.10")
    pair: tuple[int, str] = (1, "a")
    many: set[int] = Field(default_factory=set)
    few: frozenset[str] = frozenset()
    raw: bytes = b""
    mode: Literal[1, "two"] = "two"
    inner: Inner | None = None
    address: ipaddress.IPv4Address | None = None
    url: AnyUrl | None = None
    either: int | str = 0
    limit: int | None = 5
    needed: int | None = None


@workflow("typed", config=TypedConfig, resumable=True)
def typed(_job: JobContext, config: TypedConfig) -> JsonDict:
    many = {"many": sorted(config.many), "few": sorted(config.few)}
    return {name: repr(many.get(name, value)) for name, value in config}


class Login(BaseModel):
    user: str
    password: SecretStr


class KeeperConfig(JobConfig):
    token: SecretStr = Field(min_length=12)
    raw: SecretBytes = SecretBytes(b"")
    logins: list[Login] = Field(default_factory=list)
    rounds: int = 1
    fails: bool = False


class KeeperOptions(JobConfig):
    pin: SecretStr | None = None


@workflow("keeper", config=KeeperConfig, options=KeeperOptions, resumable=True)
def keeper(job: JobContext, config: KeeperConfig) -> JsonDict:
    """Tells by digests what it was given."""
    for _ in job.batches(range(config.rounds), size=1, delay_ms=60_000):
        pass
    if config.fails and not job.result.get("tried"):
        job.result["tried"] = True
        job.commit()
        raise ValueError(f"{config!r} did not do")
    secrets = [config.token.get_secret_value(), config.raw.get_secret_value().decode()]
    secrets += [login.password.get_secret_value() for login in config.logins]
    secrets.append(job.options.get("pin") or "")
    return {"digests": [hashlib.sha256(secret.encode()).hexdigest()[:8] for secret in secrets]}

"""What is configured: flags over environment over ``.env`` over these defaults."""

from __future__ import annotations

import contextlib
import os
import re
from datetime import time
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import platformdirs
import psutil
from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from runner.networks import Network, networks_of, origin_of

MIN_DELAY_MS = 10_000
MAX_DELAY_MS = 86_400_000
CALL_SECONDS = 75.0
"""A call to a gateway at a distance: longer than the 60 s for which the gateway itself waits for an answer."""
_HOURS = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
MIN_SECRET_LENGTH = 32
"""Of what a webhook proves itself by: nobody guesses it, and a shorter key is none for HS256."""
_MB = 1_000_000
_MEMORY_PER_JOB = 20 * _MB


class Reach(NamedTuple):
    """Of a gateway at a distance: its address, our key, and what we are called there; or what these are set by."""

    url: str
    key: str
    name: str


_REACH = {
    "evolution": Reach("evolution_api_url", "evolution_api_key", "evolution_instance_name"),
    "waha": Reach("waha_url", "waha_api_key", "waha_session"),
}
AT_A_DISTANCE = frozenset(_REACH)


def hours_of(text: str) -> tuple[time, time]:
    """``09:00-20:00``: from when to when; over midnight where the end is earlier. Raises ValueError."""
    found = _HOURS.fullmatch(text.strip())
    if found is None or found[1] == found[2]:
        raise ValueError(f"{text!r} are not hours, as 09:00-20:00 are")
    return time.fromisoformat(found[1]), time.fromisoformat(found[2])


def sqlite_url(path: Path) -> str:
    """The URL of the SQLite file at ``path``; what means something in a URL (``%``, ``?``, ``#``) is quoted."""
    return f"sqlite:///{quote(str(path))}"


def _default_home() -> Path:
    try:
        return Path(platformdirs.user_data_dir("cancellable-jobs", appauthor=False))
    except RuntimeError:  # a user without a home folder
        return Path("~") / "cancellable-jobs"


def _default_max_running() -> int:
    """What memory and cores allow: a job costs about 3 MB idle, 20 MB with data of its own."""
    by_memory = psutil.virtual_memory().available // 2 // _MEMORY_PER_JOB
    return max(4, min(1000, by_memory, 50 * (os.cpu_count() or 1)))


class Settings(BaseSettings):
    """All settings; each is the environment variable of its name in capitals with ``RUNNER_`` before it."""

    model_config = SettingsConfigDict(
        env_prefix="RUNNER_", env_file=".env", extra="ignore", populate_by_name=True, validate_default=True
    )

    host: str = "127.0.0.1"
    port: int = Field(3000, ge=0, le=65535)
    home: Path = Field(default_factory=_default_home)
    database_url: str = ""
    gateway: str = "roster"
    gateway_call_seconds: float = Field(CALL_SECONDS, gt=0, le=600)
    min_delay_ms: int = Field(MIN_DELAY_MS, ge=0, le=MAX_DELAY_MS)
    grace_seconds: float = Field(30, ge=0, le=3600)
    terminate_seconds: float = Field(5, ge=0, le=600)
    containment: Literal["auto", "cgroup", "subreaper", "psutil"] = "auto"
    max_running: int = Field(default_factory=_default_max_running, ge=1, le=10_000)
    max_pending: int = Field(10_000, ge=1)
    standby: int = Field(2, ge=0, le=100)
    job_ttl_seconds: int = Field(3600, ge=1)
    retention_days: int = Field(30, ge=0)
    observation_slack_hours: float = Field(24, ge=0)
    retry_seconds: float = Field(1, gt=0, le=60)
    slow_down_seconds: float = Field(300, gt=0, le=3600)
    gateway_wait_seconds: float = Field(3600, gt=0, le=86_400)
    pace_jitter: float = Field(0, ge=0, le=1)
    pace_group_per_hour: int = Field(0, ge=0)
    pace_group_per_day: int = Field(0, ge=0)
    pace_account_per_hour: int = Field(0, ge=0)
    pace_account_per_day: int = Field(0, ge=0)
    pace_hours: str = ""
    pace_time_zone: str = ""
    webhook_secret: SecretStr = SecretStr("")
    waha_hmac_key: SecretStr = SecretStr("")
    webhook_silence_hours: float = Field(24, gt=0, le=24 * 31)
    webhook_reconnect_minutes: float = Field(10, ge=0, le=24 * 60)
    webhook_memory_days: int = Field(14, ge=1, le=366)
    workflows: str = ""
    allowed_hosts: str = ""
    public_url: str = ""
    trusted_proxies: str = ""
    token: SecretStr = SecretStr("")
    """The client's: what the verbs of the command line send. The server and its jobs have no use for it."""

    evolution_api_url: str = Field("", validation_alias="EVOLUTION_API_URL")
    evolution_api_key: SecretStr = Field(SecretStr(""), validation_alias="EVOLUTION_API_KEY")
    evolution_instance_name: str = Field("", validation_alias="EVOLUTION_INSTANCE_NAME")
    waha_url: str = Field("", validation_alias="WAHA_URL")
    waha_api_key: SecretStr = Field(SecretStr(""), validation_alias="WAHA_API_KEY")
    waha_session: str = Field("default", validation_alias="WAHA_SESSION")

    _database_marks: dict[str, Any] | None = PrivateAttr(None)

    @property
    def database_marks(self) -> dict[str, Any] | None:
        """In a job's process: by what its server knows the file of the database."""
        return self._database_marks

    @field_validator("webhook_secret", "waha_hmac_key")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
            raise ValueError(f"must have at least {MIN_SECRET_LENGTH} characters; openssl rand -hex 32 makes one")
        return secret

    @model_validator(mode="after")
    def _choose_gateway(self) -> Self:
        """Unless RUNNER_GATEWAY says: the one whose variables are all there."""
        if "gateway" in self.model_fields_set:
            return self
        ready = self.gateways_ready
        if len(ready) > 1:
            raise ValueError(
                f"the variables of {' and '.join(ready)} are all set: say which, RUNNER_GATEWAY={ready[0]}"
            )
        if ready:
            self.gateway = ready[0]
            self.model_fields_set.discard("gateway")  # nobody has set it: what is said of a fault must not say so
        return self

    @property
    def gateways_ready(self) -> list[str]:
        """The gateways at a distance for which everything is given."""
        return [name for name in _REACH if not self.missing_for(name)]

    def reach_of(self, gateway: str) -> Reach:
        """As it is given, the key in the clear; "" for what is not."""
        values = (getattr(self, field) for field in _REACH[gateway])
        return Reach(*(one.get_secret_value() if isinstance(one, SecretStr) else one for one in values))

    @classmethod
    def variables_of(cls, gateway: str) -> Reach:
        """The names of the variables by which it is set."""
        return Reach(*(str(cls.model_fields[field].validation_alias) for field in _REACH[gateway]))

    @classmethod
    def secret_variables(cls) -> frozenset[str]:
        """The names of all variables that hold a secret; the database's address may have a password in it."""
        fields = cls.model_fields.items()
        secret = (name for name, field in fields if field.annotation is SecretStr or name == "database_url")
        return frozenset(str(cls.model_fields[name].validation_alias or f"RUNNER_{name.upper()}") for name in secret)

    def missing_for(self, gateway: str) -> list[str]:
        """The variables that it needs and nobody has set."""
        given = zip(self.variables_of(gateway), self.reach_of(gateway), strict=True)
        return [variable for variable, value in given if not value]

    def is_begun(self, gateway: str) -> bool:
        """Whether somebody has set one of its variables."""
        fields = type(self).model_fields
        return any(getattr(self, field) != fields[field].default for field in _REACH[gateway])

    @field_validator("public_url")
    @classmethod
    def _is_an_origin(cls, url: str) -> str:
        if url:
            origin_of(url)
        return url.strip().rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        networks_of(text)
        return text

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """Where those stand whose word on a caller is believed."""
        return networks_of(self.trusted_proxies)

    @field_validator("pace_hours")
    @classmethod
    def _are_hours(cls, text: str) -> str:
        if text:
            hours_of(text)
        return text

    @field_validator("pace_time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        if name:
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"{name!r} is not a time zone, as Europe/Berlin is") from None
        return name

    @model_validator(mode="after")
    def _remembers_a_day(self) -> Self:
        """The caps count what is in the database, so it must be there for a day."""
        if self.retention_days < 1 and (self.pace_group_per_day or self.pace_account_per_day):
            raise ValueError("a cap a day (RUNNER_PACE_..._PER_DAY) needs RUNNER_RETENTION_DAYS of 1 or more")
        return self

    @property
    def is_paced(self) -> bool:
        """Whether anything but ``delayMs`` slows removals down."""
        caps = self.pace_group_per_hour, self.pace_group_per_day, self.pace_account_per_hour, self.pace_account_per_day
        return bool(self.pace_jitter or self.pace_hours or any(caps))

    @field_validator("home")
    @classmethod
    def _is_text(cls, home: Path) -> Path:
        if str(home).encode("utf-8", "replace").decode() != str(home):
            raise ValueError("must be a path in UTF-8: the address of a database can hold no other")
        with contextlib.suppress(RuntimeError, OSError):  # nobody's home; the current folder is gone
            found = home.expanduser()
            return found.absolute()
        return home

    @property
    def url(self) -> str:
        """The database: SQLite in ``home`` unless another is named."""
        return self.database_url or sqlite_url(self.home / "runner.db")

    @property
    def workflow_modules(self) -> list[str]:
        return [name.strip() for name in self.workflows.split(",") if name.strip()]

    def for_job(self) -> dict[str, Any]:
        """What a job's process needs, secrets in the clear: for its private pipe only, never for a log or a file."""
        not_theirs = {"token", "webhook_secret", "waha_hmac_key"}  # no job calls the server, or takes webhooks in
        dumped = self.model_dump(mode="json", exclude=not_theirs)
        secrets = {"evolution_api_key", "waha_api_key"}
        return dumped | {name: getattr(self, name).get_secret_value() for name in secrets}

    @classmethod
    def from_job(cls, data: dict[str, Any]) -> Settings:
        """The settings a server sent to a job's process; the environment is not looked at again."""
        secrets = {name: SecretStr(data[name]) for name in ("evolution_api_key", "waha_api_key")}
        fields: dict[str, Any] = data | secrets | {"home": Path(data["home"])}
        found = cls.model_construct(_fields_set=None, **fields)
        found._database_marks = data.get("database_marks")
        return found

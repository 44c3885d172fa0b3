"""What is configured: flags over environment over ``.env`` over these defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import platformdirs
import psutil
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIN_DELAY_MS = 10_000
MAX_DELAY_MS = 86_400_000
_MB = 1_000_000
_MEMORY_PER_JOB = 20 * _MB


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("cancellable-jobs", appauthor=False))


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
    workflows: str = ""
    allowed_hosts: str = ""
    token: SecretStr = SecretStr("")
    """The client's: what the verbs of the command line send. The server and its jobs have no use for it."""

    evolution_api_url: str = Field("", validation_alias="EVOLUTION_API_URL")
    evolution_api_key: SecretStr = Field(SecretStr(""), validation_alias="EVOLUTION_API_KEY")
    evolution_instance_name: str = Field("", validation_alias="EVOLUTION_INSTANCE_NAME")
    waha_url: str = Field("", validation_alias="WAHA_URL")
    waha_api_key: SecretStr = Field(SecretStr(""), validation_alias="WAHA_API_KEY")
    waha_session: str = Field("default", validation_alias="WAHA_SESSION")

    @property
    def url(self) -> str:
        """The database: SQLite in ``home`` unless another is named."""
        return self.database_url or f"sqlite:///{self.home / 'runner.db'}"

    @property
    def workflow_modules(self) -> list[str]:
        return [name.strip() for name in self.workflows.split(",") if name.strip()]

    def for_job(self) -> dict[str, Any]:
        """What a job's process needs, secrets in the clear: for its private pipe only, never for a log or a file."""
        dumped = self.model_dump(mode="json", exclude={"token"})
        secrets = {"evolution_api_key", "waha_api_key"}
        return dumped | {name: getattr(self, name).get_secret_value() for name in secrets}

    @classmethod
    def from_job(cls, data: dict[str, Any]) -> Settings:
        """The settings a server sent to a job's process; the environment is not looked at again."""
        secrets = {name: SecretStr(data[name]) for name in ("evolution_api_key", "waha_api_key")}
        fields: dict[str, Any] = data | secrets | {"home": Path(data["home"])}
        return cls.model_construct(_fields_set=None, **fields)

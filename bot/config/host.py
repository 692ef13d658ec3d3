"""The tables about this host: `[restore]`, `[postgres]`, `[monitor]`, `[notify]`, `[metrics]`."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import (
    Field,
    field_validator,
)

from bot.config.values import Duration, FilePath, Table, secret


class RestoreConfig(Table):
    """Where restores beside go and how long they live. A database that a restore in place replaced is kept for `keep_before`.

    `user` runs the servers when Pitstop is started as root. A restore out of a dump may take `limit`.
    """

    directory: FilePath = Path("/var/lib/pitstop/restores")
    lifetime: Duration = timedelta(hours=24)
    keep_before: Duration = Field(default=timedelta(days=7), ge=timedelta(hours=1))
    limit: Duration = Field(default=timedelta(hours=12), ge=timedelta(seconds=1))
    user: str | None = None
    workers: int = Field(default=0, ge=0, le=64)


class PostgresConfig(Table):
    """Where server binaries are looked for, before Debian's folders and installed wheels."""

    bin_directories: tuple[FilePath, ...] = ()


class MonitorConfig(Table):
    """How often is looked, and what is watched beside the clusters.

    `disk_free` is a share of each disk, `disk_full_within` how soon it may be full.
    `heartbeat_url` is fetched every minute while the bot leads and is well, so that an outside checker notices its death.
    """

    every: Duration = Field(default=timedelta(seconds=30), ge=timedelta(seconds=1), le=timedelta(minutes=5))
    disk_free: float = Field(default=0.1, ge=0, lt=1)
    disk_full_within: Duration = timedelta(days=3)
    heartbeat_url: str | None = None

    @field_validator("heartbeat_url")
    @classmethod
    def _a_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in {"http", "https"}:
            raise ValueError("write an address that begins with https:// or http://")
        return value


class NotifyConfig(Table):
    """The fallback: what reaches people when Slack does not. Addresses are Apprise's, one a line, and secret.

    They come from PITSTOP_NOTIFY_URLS or from `urls_file`. Pages are always sent, others from `severity` on, all with Slack away.
    """

    urls_file: FilePath | None = None
    severity: Literal["info", "warn", "page"] = "page"

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses; none when nothing is configured."""
        text = secret("PITSTOP_NOTIFY_URLS", self.urls_file) or ""
        return tuple(line for part in text.splitlines() if (line := part.strip()) and not line.startswith("#"))


class MetricsConfig(Table):
    """Where Prometheus may fetch metrics, `host:port`; nothing is served without it."""

    listen: str | None = None

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+)?:\d{1,5}", value):
            raise ValueError("write host:port, like 127.0.0.1:9187; :9187 is this machine alone")
        return value

    @property
    def address(self) -> tuple[str, int] | None:
        """The host (this machine alone unless named) and the port; None when nothing is served."""
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]") or "127.0.0.1", int(port)

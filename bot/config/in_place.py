"""A cluster's `hooks` and `health` tables: what surrounds a restore in place."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from pydantic import (
    Field,
    field_validator,
)

from bot.config.values import Duration, Table


class HooksConfig(Table):
    """What runs around a restore in place: programs with their whole path and their arguments; no shell reads them.

    `before` stops the application, `after` starts it again; both may run twice. Each may take `limit`.
    """

    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()
    limit: Duration = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1), le=timedelta(hours=1))

    @field_validator("before", "after")
    @classmethod
    def _whole_paths(cls, value: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for command in value:
            if not command or not command[0].startswith("/"):
                raise ValueError(
                    'write each command as a list that begins with a whole path: ["/usr/bin/systemctl", "stop", "shop"]'
                )
            if any("\0" in word for word in command):
                raise ValueError("a command holds a NUL character")
        return value


class HealthConfig(Table):
    """The page that says whether the application is well after a restore in place: GET must answer 2xx `within` this time.

    With `undo`, a page that is not well takes the restore back at once; else undo is offered.
    """

    url: str | None = None
    within: Duration = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1), le=timedelta(hours=1))
    undo: bool = False

    @field_validator("url")
    @classmethod
    def _a_page(cls, value: str | None) -> str | None:
        if value is not None and not _is_page(value):
            raise ValueError("write a page like http://127.0.0.1:5000/health")
        return value


def _is_page(url: str) -> bool:
    """Say whether a URL can be asked for: its scheme, its host, and a port that is a number there is."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and not set(url) & _BLANKS
    except ValueError:  # brackets that do not close, a port that is no number
        return False


_BLANKS = frozenset(" \t\r\n")

"""The `[slack]` table."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import (
    field_validator,
)

from bot.config.values import FilePath, Table, secret

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Channels(Table):
    """Where the bot posts: names (`#db-backups`) or ids; `check` resolves names."""

    results: str
    alerts: str
    approvals: str


class SlackConfig(Table):
    """The `[slack]` table. Secrets come from SLACK_BOT_TOKEN, SLACK_APP_TOKEN and SLACK_SIGNING_SECRET, or from files."""

    channels: Channels
    oncall: str | None = None
    bot_token_file: FilePath | None = None
    app_token_file: FilePath | None = None
    signing_secret_file: FilePath | None = None
    http_listen: str = "127.0.0.1:8088"
    api_url: str = "https://slack.com/api/"

    @field_validator("oncall")
    @classmethod
    def _an_id(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[UWS][A-Z0-9]{2,}", value):
            raise ValueError(f"“{value}” is not an id; write a user group (S…) or a user (U…, W…)")
        return value

    @field_validator("api_url")
    @classmethod
    def _tokens_stay_private(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise ValueError("tokens are sent there: use https://, or http:// on this machine alone")
        return value

    @property
    def bot_token(self) -> str | None:
        """The bot token (`xoxb-…`), or None."""
        return secret("SLACK_BOT_TOKEN", self.bot_token_file)

    @property
    def app_token(self) -> str | None:
        """The app-level token (`xapp-…`) for Socket Mode, or None."""
        return secret("SLACK_APP_TOKEN", self.app_token_file)

    @property
    def signing_secret(self) -> str | None:
        """The signing secret; when set, the bot listens for signed HTTP on `http_listen` instead of opening a socket."""
        return secret("SLACK_SIGNING_SECRET", self.signing_secret_file)

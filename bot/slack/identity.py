"""Who we are in Slack: our workspace, app and bot user, asked once at the start; and where the configured channels are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slack_sdk import WebClient

from bot.errors import Usage
from bot.slack.client import SlackAnswered, call, call_with_headers


@dataclass(frozen=True, slots=True)
class Identity:
    """Our workspace (`team`), app, bot user and bot id; `app` is None when Slack would not say. `scopes` are the token's."""

    team: str
    user: str
    bot: str
    app: str | None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """One conversation: is it `shared` with another organisation, `archived`, and are we a `member`?"""

    id: str
    name: str
    member: bool
    archived: bool
    shared: bool


def who_am_i(client: WebClient) -> Identity:
    """Ask Slack who the token belongs to (`auth.test`, `bots.info`) and which scopes it has.

    Raises:
        SlackAnswered: the token is not valid.
        SlackBusy: Slack is away.
    """
    answer, scopes = _auth_test(client)
    bot = str(answer.get("bot_id", ""))
    return Identity(str(answer["team_id"]), str(answer["user_id"]), bot, _app_of(client, bot), scopes)


def _auth_test(client: WebClient) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Call `auth.test`, keeping the `x-oauth-scopes` header that no other answer is read for."""
    answer, headers = call_with_headers(client, "auth.test")
    granted = next((str(value) for name, value in headers.items() if name.lower() == "x-oauth-scopes"), "")
    return answer, tuple(scope.strip() for scope in granted.split(",") if scope.strip())


def _app_of(client: WebClient, bot: str) -> str | None:
    try:
        return str(call(client, "bots.info", http_verb="GET", bot=bot)["bot"]["app_id"]) if bot else None
    except (SlackAnswered, KeyError):
        return None


def resolve_channels(client: WebClient, wanted: Mapping[str, str]) -> dict[str, Channel]:
    """Find each configured channel (`{"results": "#db-backups"}`), by name or id.

    Raises:
        Usage: some cannot be found; all of them are named.
    """
    names = {value.lstrip("#") for value in wanted.values() if not _is_id(value)}
    known = {channel.name: channel for channel in _all_channels(client, names)} if names else {}
    found: dict[str, Channel] = {}
    missing = []
    for place, value in wanted.items():
        channel = _by_id(client, value) if _is_id(value) else known.get(value.lstrip("#"))
        if channel is None:
            missing.append(f"{place} = {value!r}")
        else:
            found[place] = channel
    if missing:
        raise Usage(
            f"Slack knows no such channel: {', '.join(missing)}.",
            hint="Is the name right, and Pitstop invited where the channel is private?",
            code="unknown-channel",
        )
    return found


def _is_id(value: str) -> bool:
    return value[:1] in {"C", "G"} and value.isalnum() and value.isupper() and len(value) >= 6


def _by_id(client: WebClient, channel: str) -> Channel | None:
    try:
        return _channel(call(client, "conversations.info", http_verb="GET", channel=channel)["channel"])
    except SlackAnswered as error:
        if error.slack_error == "channel_not_found":
            return None
        raise


def _all_channels(client: WebClient, wanted: set[str]) -> Iterator[Channel]:
    """Walk the conversations until every wanted name was seen; reads `channels:read` and `groups:read`."""
    cursor, left = "", set(wanted)
    while left:
        page = call(
            client,
            "conversations.list",
            http_verb="GET",
            types="public_channel,private_channel",
            exclude_archived="false",
            limit="999",
            cursor=cursor or None,
        )
        for raw in page.get("channels", []):
            channel = _channel(raw)
            left.discard(channel.name)
            yield channel
        cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            return


def _channel(raw: Any) -> Channel:
    return Channel(
        id=str(raw["id"]),
        name=str(raw.get("name", "")),
        member=bool(raw.get("is_member")),
        archived=bool(raw.get("is_archived")),
        shared=bool(raw.get("is_ext_shared") or raw.get("is_pending_ext_shared")),
    )

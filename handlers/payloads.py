"""What Slack sends when somebody types, presses or submits, read into the few values the handlers need. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bot.model.people import Person

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Doer:
    """Who did something, and how to answer them: `response_url` serves 5 times in 30 minutes; `channel` and `ts` may be empty."""

    person: str
    name: str = ""
    response_url: str = ""
    channel: str = ""
    ts: str = ""

    @property
    def who(self) -> Person:
        """The person."""
        return Person.from_key(self.person)

    def as_json(self) -> dict[str, str]:
        """Return what the inbox keeps."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Doer:
        """Read what `as_json` wrote, ignoring what else is in the payload."""
        return cls(**{name: str(data.get(name, "")) for name in cls.__dataclass_fields__})


def from_command(body: Body) -> Doer:
    """Read who typed a slash command, and where."""
    return Doer(
        person=Person(str(body.get("team_id", "")), str(body.get("user_id", ""))).key,
        name=str(body.get("user_name", "")),
        response_url=str(body.get("response_url", "")),
        channel=str(body.get("channel_id", "")),
    )


def typed(body: Body) -> str:
    """Return what was typed after a slash command, letter for letter: Slack sends `&`, `<` and `>` as entities.

    Source: https://docs.slack.dev/messaging/formatting-message-text
    """
    text = str(body.get("text") or "")
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def from_interaction(body: Body) -> Doer:
    """Read who pressed or submitted; the team is the person's own, which in a shared channel is not ours."""
    user = body.get("user") or {}
    container = body.get("container") or {}
    team = user.get("team_id") or (body.get("team") or {}).get("id") or ""
    return Doer(
        person=Person(str(team), str(user.get("id", ""))).key,
        name=str(user.get("name") or user.get("username") or ""),
        response_url=str(body.get("response_url", "")),
        channel=str(container.get("channel_id") or (body.get("channel") or {}).get("id") or ""),
        ts=str(container.get("message_ts") or (body.get("message") or {}).get("ts") or ""),
    )


def delivery_key(body: Body) -> str:
    """Return what is the same when Slack delivers the same thing twice: its trigger id, else a digest of what it carries."""
    if trigger := body.get("trigger_id"):
        return f"trigger:{trigger}"
    view = body.get("view") or {}
    told = [body.get("type"), body.get("user"), view.get("id"), view.get("hash"), body.get("actions"), body.get("text")]
    return "digest:" + hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def is_ours(body: Body, *, team: str, app: str) -> bool:
    """Say whether a payload was meant for this app in this workspace; payloads say so in several places, and all must agree."""
    teams = {found for found in (body.get("team_id"), (body.get("team") or {}).get("id")) if found}
    apps = {found for found in (body.get("api_app_id"),) if found}
    return bool(team and app) and teams == {team} and apps == {app}


def pressed(body: Body) -> tuple[str, str]:
    """Return the action id and value of the button that was pressed."""
    actions = body.get("actions") or [{}]
    return str(actions[0].get("action_id", "")), str(actions[0].get("value", ""))

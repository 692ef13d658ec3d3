"""Build what Slack sends to an app: commands, clicks, submissions, suggestions, events; no clock, no I/O.

Source: https://docs.slack.dev/interactivity/handling-user-interaction and the reference of interaction payloads.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from bot.sandbox.state import State
from bot.sandbox.tickets import ResponseUrl
from bot.sandbox.values import Channel, Json, Person
from bot.sandbox.views import View
from bot.sandbox.workspace import Message

_WORD = re.compile(r"(?<![\w<])([@#])([\w.-]+)")


def escaped(state: State, text: str) -> str:
    """Return command text as Slack sends it with escaping on: names become ids, `&`, `<` and `>` entities."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _WORD.sub(lambda match: _reference(state, match), text)


def _reference(state: State, match: re.Match[str]) -> str:
    sign, name = match.groups()
    workspace = state.workspace
    if sign == "#":
        for channel in workspace.channels.values():
            if channel.name == name:
                return f"<#{channel.id}|{channel.name}>"
        return match.group()
    for person in workspace.people.values():
        if person.name == name:
            return f"<@{person.id}|{person.name}>"
    for group in workspace.groups.values():
        if group.handle == name:
            return f"<!subteam^{group.id}|@{group.handle}>"
    return match.group()


def response_url(state: State, person: Person, channel: Channel, message: Message | None = None) -> str:
    """Return a fresh response URL, bound to the message an interaction started from."""
    ticket = ResponseUrl(person.id, channel.id, state.now())
    if message:
        ticket.original_ts, ticket.thread_ts = message.ts, message.thread_ts
    return f"{state.base_url}/response/{state.tickets.response_url(ticket)}"


def _team(state: State) -> Json:
    return {"id": state.workspace.team.id, "domain": state.workspace.team.domain}


def _user(state: State, person: Person) -> Json:
    team_id = person.team_id or state.workspace.team.id
    return {"id": person.id, "username": person.name, "name": person.name, "team_id": team_id}


def _channel_name(channel: Channel) -> str:
    if channel.is_im:
        return "directmessage"
    return "privategroup" if channel.is_private else channel.name


def command(state: State, person: Person, channel: Channel, name: str, text: str) -> Json:
    """Return a slash command's payload."""
    team = state.workspace.team
    return {
        "token": state.secrets.verification_token,
        "team_id": team.id,
        "team_domain": team.domain,
        "channel_id": channel.id,
        "channel_name": _channel_name(channel),
        "user_id": person.id,
        "user_name": person.name,
        "command": name,
        "text": text,
        "api_app_id": state.workspace.app.id,
        "is_enterprise_install": "false",
        "response_url": response_url(state, person, channel),
        "trigger_id": state.tickets.trigger(person.id, state.now()),
    }


def _interaction(state: State, kind: str, person: Person, view_id: str | None = None) -> Json:
    return {
        "type": kind,
        "user": _user(state, person),
        "api_app_id": state.workspace.app.id,
        "token": state.secrets.verification_token,
        "trigger_id": state.tickets.trigger(person.id, state.now(), view_id),
        "team": _team(state),
        "enterprise": None,
        "is_enterprise_install": False,
    }


def action(state: State, block: Json, element: Json, chosen: Json) -> Json:
    """Return the entry of `actions` for one used element."""
    told: Json = {"type": element["type"], "action_id": element["action_id"], "block_id": block["block_id"]}
    for key in ("text", "value", "style", "url"):
        if element["type"] == "button" and key in element:
            told[key] = element[key]
    return told | {k: v for k, v in chosen.items() if k != "type"} | {"action_ts": f"{state.now():.6f}"}


def message_action(state: State, person: Person, channel: Channel, message: Message, used: Json, values: Json) -> Json:
    """Return the payload of a click in a message; an ephemeral's message is not sent along, as in Slack."""
    container = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": bool(message.visible_to),
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    payload = _interaction(state, "block_actions", person) | {
        "container": container,
        "channel": {"id": channel.id, "name": _channel_name(channel)},
        "state": {"values": values},
        "response_url": response_url(state, person, channel, message),
        "actions": [used],
    }
    return payload if message.visible_to else payload | {"message": message.as_slack()}


def view_action(state: State, person: Person, view: View, used: Json) -> Json:
    """Return the payload of a click in a modal or Home tab."""
    return _interaction(state, "block_actions", person, view.id) | {
        "container": {"type": "view", "view_id": view.id},
        "view": _view(state, view),
        "actions": [used],
    }


def submission(state: State, person: Person, view: View) -> Json:
    """Return the payload of a sent modal; it carries no channel and no message."""
    return _interaction(state, "view_submission", person, view.id) | {"view": _view(state, view), "response_urls": []}


def closed(state: State, person: Person, view: View, *, cleared: bool) -> Json:
    """Return the payload of a closed modal that asked to be told."""
    payload = _interaction(state, "view_closed", person) | {"view": _view(state, view), "is_cleared": cleared}
    del payload["trigger_id"]
    return payload


def suggestion(state: State, person: Person, where: Json, block: Json, element: Json, query: str) -> Json:
    """Return the payload of a type-ahead; `where` is `{"view": …}` or the container of a message."""
    payload = _interaction(state, "block_suggestion", person) | where
    del payload["trigger_id"]
    return payload | {"action_id": element["action_id"], "block_id": block["block_id"], "value": query}


def view_place(state: State, view: View) -> Json:
    """Return where a suggestion in a view came from."""
    return {"container": {"type": "view", "view_id": view.id}, "view": _view(state, view)}


def message_place(channel: Channel, message: Message) -> Json:
    """Return where a suggestion in a message came from."""
    container = {"type": "message", "message_ts": message.ts, "channel_id": channel.id}
    return {"container": container, "channel": {"id": channel.id, "name": channel.name}, "message": message.as_slack()}


def event(state: State, body: Json) -> Json:
    """Return an Events API callback around `body`."""
    app, team = state.workspace.app, state.workspace.team
    authorization = {"enterprise_id": None, "team_id": team.id, "user_id": app.bot_user, "is_bot": True}
    return {
        "token": state.secrets.verification_token,
        "team_id": team.id,
        "api_app_id": app.id,
        "event": {"event_ts": f"{state.now():.6f}"} | body,
        "type": "event_callback",
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(state.now()),
        "authorizations": [authorization | {"is_enterprise_install": False}],
        "is_ext_shared_channel": False,
    }


def _view(state: State, view: View) -> dict[str, Any]:
    return view.as_slack(state.workspace.team, state.workspace.app)

"""Everything the page shows to one person, as JSON; pure."""

from __future__ import annotations

from bot.sandbox.state import State
from bot.sandbox.values import Channel, Json, Person


def snapshot(state: State, person: Person, sockets: int) -> Json:
    """Return the whole page of `person`."""
    workspace = state.workspace
    workspace.direct(person.id)
    channels = workspace.channels_of(person)
    return {
        "sequence": workspace.changes.sequence,
        "user": person.id,
        "team": {"id": workspace.team.id, "name": workspace.team.name},
        "app": {"id": workspace.app.id, "name": workspace.app.name, "user": workspace.app.bot_user},
        "people": [_person(each) for each in workspace.people.values()],
        "groups": [{"id": g.id, "handle": g.handle, "members": list(g.members)} for g in workspace.groups.values()],
        "channels": [_channel(each, workspace.app.bot_user) for each in channels],
        "messages": {c.id: [m.as_page() for m in workspace.visible(c.id, person)] for c in channels},
        "views": state.views.shown(person.id),
        "home": state.views.home(person.id),
        "commands": [
            {"name": c.name, "description": c.description, "usage_hint": c.usage_hint} for c in workspace.app.commands
        ],
        "try_this": try_panel(state),
        "sockets": sockets,
        "over_http": bool(state.request_url),
        "now": state.now(),
    }


def _person(person: Person) -> Json:
    return {
        "id": person.id,
        "name": person.name,
        "real_name": person.real_name,
        "title": person.title,
        "tz": person.tz,
        "is_bot": person.is_bot,
        "guest": person.is_restricted or person.is_ultra_restricted,
        "stranger": person.is_stranger,
        "deleted": person.deleted,
    }


def _channel(channel: Channel, bot_user: str) -> Json:
    return {
        "id": channel.id,
        "name": channel.name,
        "topic": channel.topic,
        "members": sorted(channel.members),
        "is_im": channel.is_im,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_ext_shared": channel.is_ext_shared,
        "has_app": bot_user in channel.members,
    }


def try_panel(state: State) -> Json:
    """Return the panel that says what to do, with the demo's own buttons."""
    panel = state.try_this
    steps = [
        {"text": s.text, "command": s.command, "channel": s.channel, "person": s.person, "done": s.done}
        for s in panel.steps
    ]
    actions = [{"id": a.id, "label": a.label, "description": a.description, "style": a.style} for a in state.actions]
    return {"title": panel.title, "intro": panel.intro, "steps": steps, "actions": actions}

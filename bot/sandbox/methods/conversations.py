"""`conversations.*`."""

from __future__ import annotations

from typing import TypeVar

from bot.sandbox.methods.call import Call, Method
from bot.sandbox.refusals import SlackError
from bot.sandbox.values import Channel, Json

Paged = TypeVar("Paged")

_KIND_SCOPES = {"public": "channels:read", "private": "groups:read", "im": "im:read"}


def _as_slack(call: Call, channel: Channel) -> Json:
    bot = call.workspace.app.bot_user
    if channel.is_im:
        other = next(iter(channel.members - {bot}))
        return {"id": channel.id, "is_im": True, "user": other, "is_archived": False, "is_ext_shared": False}
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "is_member": bot in channel.members,
        "is_shared": channel.is_ext_shared,
        "is_ext_shared": channel.is_ext_shared,
        "is_org_shared": False,
        "is_pending_ext_shared": False,
        "context_team_id": call.workspace.team.id,
        "num_members": len(channel.members),
        "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def _kind(channel: Channel) -> str:
    return "im" if channel.is_im else "private" if channel.is_private else "public"


def info(call: Call) -> Json:
    """Return facts about one conversation."""
    channel = call.conversation()
    needed = _KIND_SCOPES[_kind(channel)]
    if needed not in call.state.scopes and not channel.is_im:
        raise SlackError("missing_scope", needed=needed, provided=",".join(call.state.scopes))
    return {"channel": _as_slack(call, channel)}


def list_(call: Call) -> Json:
    """Return conversations of the kinds asked for, in pages."""
    kinds = {part.split("_")[0] for part in call.text("types", "public_channel").split(",")}
    found = [c for c in call.workspace.channels.values() if _kind(c) in kinds and _listed(call, c)]
    if call.flag("exclude_archived"):
        found = [channel for channel in found if not channel.is_archived]
    page, cursor = paged(call, found)
    return {"channels": [_as_slack(call, c) for c in page], "response_metadata": {"next_cursor": cursor}}


def _listed(call: Call, channel: Channel) -> bool:
    return not (channel.is_private or channel.is_im) or call.workspace.app.bot_user in channel.members


def members(call: Call) -> Json:
    """Return the ids of a conversation's members, in pages."""
    page, cursor = paged(call, sorted(call.conversation().members))
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


def paged(call: Call, everything: list[Paged]) -> tuple[list[Paged], str]:
    """Return one page and the cursor of the next, empty at the end. Raises SlackError `invalid_cursor`."""
    cursor = call.text("cursor") or "0"
    if not cursor.isdigit():
        raise SlackError("invalid_cursor")
    start, size = int(cursor), min(int(call.text("limit", "100") or 100), 1000)
    return everything[start : start + size], str(start + size) if start + size < len(everything) else ""


def open_(call: Call) -> Json:
    """Return the DM with one person."""
    if call.text("channel"):
        return {"channel": _as_slack(call, call.conversation())}
    wanted = [each for each in call.text("users").split(",") if each]
    if len(wanted) != 1:
        raise SlackError("users_list_not_supplied" if not wanted else "not_enough_users")
    person = call.workspace.people.get(wanted[0])
    if person is None:
        raise SlackError("user_not_found")
    if person.deleted:
        raise SlackError("user_disabled")
    if person.is_bot:
        raise SlackError("cannot_dm_bot")
    return {"channel": {"id": call.workspace.direct(person.id).id}}


METHODS = {
    "conversations.info": Method(info, ("channels:read", "groups:read", "im:read")),
    "conversations.list": Method(list_, ("channels:read", "groups:read", "im:read")),
    "conversations.members": Method(members, ("channels:read", "groups:read", "im:read")),
    "conversations.open": Method(open_, ("im:write",)),
}

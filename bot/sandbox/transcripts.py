"""The workspace as plain text, for a failed wait and for curious people; pure."""

from __future__ import annotations

from bot.sandbox.state import State
from bot.sandbox.workspace import Message


def of_workspace(state: State, limit: int) -> str:
    """Return the last `limit` messages of each conversation that has any, ephemerals included."""
    lines = []
    for channel_id, messages in state.workspace.messages.items():
        channel = state.workspace.channels[channel_id]
        lines.append(f"-- {'@' + channel_id if channel.is_im else '#' + channel.name}")
        lines += [_line(state, message) for message in messages[-limit:]]
    for user, stack in state.views.stacks.items():
        lines += [f"-- open for {user}: {view.body.get('title', {}).get('text', '')} ({view.id})" for view in stack]
    return "\n".join(lines)


def _line(state: State, message: Message) -> str:
    author = state.workspace.people[message.author].name
    only = f" (only for {message.visible_to})" if message.visible_to else ""
    reply = "  > " if message.thread_ts and message.thread_ts != message.ts else "  "
    buttons = [e["action_id"] for b in message.blocks for e in b.get("elements", []) if e.get("type") == "button"]
    pressed = f" {buttons}" if buttons else ""
    return f"{reply}{message.ts} {author}{only}: {message.text[:300]}{pressed}"

"""Put messages of the app into the workspace: the one path for the Web API, response URLs and acks; no clock, no I/O."""

from __future__ import annotations

import secrets
from typing import Any

from bot.sandbox import limits
from bot.sandbox.blocks import name_blocks, require_blocks
from bot.sandbox.refusals import SlackError
from bot.sandbox.state import State
from bot.sandbox.values import Channel, Json
from bot.sandbox.workspace import Message

_PASSED_ON = ("attachments", "metadata", "files")


def content_of(args: Json, *, most: int = limits.POST_TEXT, cut: bool = True) -> Json:
    """Return the checked content of a message: text, blocks, attachments, metadata.

    Raises:
        SlackError: `no_text`, `msg_too_long`, `markdown_text_conflict`, `invalid_metadata_format`.
        InvalidBlocks: a block breaks a rule.
    """
    text, blocks = args.get("text") or "", args.get("blocks") or []
    markdown = args.get("markdown_text")
    if markdown:
        blocks, text = _markdown_blocks(args, markdown), str(markdown)
    elif not (text or blocks or args.get("attachments") or args.get("files")):
        raise SlackError("no_text")
    if len(text) > most:
        if not cut:
            raise SlackError("msg_too_long")
        text = text[:most]
    checked = name_blocks(require_blocks(blocks), _new_block_id)
    _check_metadata(args.get("metadata"))
    passed_on = {key: args[key] for key in _PASSED_ON if args.get(key)}
    return {"text": str(text), "blocks": checked, **passed_on}


def _markdown_blocks(args: Json, markdown: Any) -> list[Json]:
    if args.get("text") or args.get("blocks"):
        raise SlackError("markdown_text_conflict")
    if len(markdown) > limits.MARKDOWN_TEXT:
        raise SlackError("msg_too_long")
    return [{"type": "markdown", "text": markdown}]


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_type"), str):
        raise SlackError("invalid_metadata_format")
    if not isinstance(metadata.get("event_payload", {}), dict):
        raise SlackError("invalid_metadata_format")


def post(
    state: State,
    channel: Channel,
    content: Json,
    now: float,
    *,
    thread_ts: str | None = None,
    visible_to: str | None = None,
) -> Message:
    """Post checked content as the app. Raises SlackError `thread_not_found`."""
    workspace = state.workspace
    root = workspace.message(channel.id, thread_ts) if thread_ts else None
    if thread_ts and root is None:
        raise SlackError("thread_not_found")
    message = Message(
        channel=channel.id,
        ts=workspace.timestamp(now),
        author=workspace.app.bot_user,
        bot_id=workspace.app.bot_id,
        thread_ts=(root.thread_ts or root.ts) if root else None,
        visible_to=visible_to,
        **content,
    )
    return workspace.post(message)


def rewrite(state: State, message: Message, content: Json, now: float) -> Message:
    """Replace a message's content; only text-only edits are marked as edited, as in Slack."""
    marked = None if content["blocks"] else state.workspace.timestamp(now)
    cleared: Json = {"attachments": []} if "attachments" not in content else {}
    return state.workspace.edit(message, edited_ts=marked, **cleared, **content)


def _new_block_id() -> str:
    return secrets.token_hex(3)

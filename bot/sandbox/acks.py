"""What rides along with an acknowledgement: messages, modal answers, options; checked as Slack checks them; no I/O."""

from __future__ import annotations

from typing import Any

from bot.sandbox import limits, posting
from bot.sandbox.elements import check_groups, check_options
from bot.sandbox.findings import Findings
from bot.sandbox.refusals import InvalidBlocks, SlackError
from bot.sandbox.state import State
from bot.sandbox.tickets import ResponseUrl
from bot.sandbox.values import Json
from bot.sandbox.view_rules import require_view
from bot.sandbox.views import View
from bot.sandbox.workspace import Message


def answer_command(state: State, user: str, channel_id: str, payload: Json) -> None:
    """Show what an acknowledged command said: to its author only, or to the channel. Raises SlackError."""
    if not payload.get("text") and not payload.get("blocks"):
        return
    visible_to = None if payload.get("response_type") == "in_channel" else user
    channel = state.workspace.channels[channel_id]
    posting.post(state, channel, posting.content_of(payload), state.now(), visible_to=visible_to)


def use_response_url(state: State, ticket: ResponseUrl, body: Json) -> None:
    """Do what a response URL was sent: post, replace or delete. Raises SlackError."""
    workspace = state.workspace
    original = workspace.message(ticket.channel, ticket.original_ts) if ticket.original_ts else None
    if body.get("delete_original"):
        if original is None:
            raise SlackError("message_not_found")
        workspace.remove(original)
        return
    content = posting.content_of(body)
    if original and body.get("replace_original"):
        posting.rewrite(state, original, content, state.now())
        return
    visible_to = None if body.get("response_type") == "in_channel" else ticket.user
    thread_ts = body.get("thread_ts") or _thread_of(original)
    channel = workspace.channels[ticket.channel]
    posting.post(state, channel, content, state.now(), thread_ts=thread_ts, visible_to=visible_to)


def _thread_of(original: Message | None) -> str | None:
    return original.thread_ts if original else None


def answer_submission(state: State, view: View, payload: Json) -> dict[str, str]:
    """Do what the answer to a sent modal asks; returns error messages by block id, empty when it went through.

    Raises:
        SlackError: the answer breaks a rule; the person is told that it did not work.
    """
    action = payload.get("response_action")
    if action == "errors":
        return _errors(view, payload.get("errors"))
    if action == "update":
        state.views.update(view, require_view(payload.get("view")))
    elif action == "push":
        state.views.push(view.user, require_view(payload.get("view")))
    elif action in (None, "clear"):
        state.views.close(view, all_views=action == "clear")
    else:
        raise SlackError("invalid_arguments")
    return {}


def _errors(view: View, errors: Any) -> dict[str, str]:
    if not isinstance(errors, dict) or not errors:
        raise SlackError("invalid_arguments")
    inputs = {block["block_id"] for block in view.body["blocks"] if block["type"] == "input"}
    unknown = sorted(set(errors) - inputs)
    if unknown:
        raise InvalidBlocks(
            [f"errors name {', '.join(unknown)}, which is no input block of the view"], "invalid_arguments"
        )
    return {str(key): str(value) for key, value in errors.items()}


def offered_options(payload: Json) -> list[Json]:
    """Return the options a type-ahead answered, groups flattened. Raises InvalidBlocks."""
    findings = Findings()
    groups = payload.get("option_groups")
    if groups is not None:
        check_groups(groups, "/option_groups", findings)
    else:
        most = limits.OPTIONS
        options = payload.get("options", [])
        if options:
            check_options(options, "/options", findings, most)
    if findings.problems:
        raise InvalidBlocks(findings.problems, "invalid_options")
    if groups is not None:
        return [option for group in groups for option in group["options"]]
    return list(payload.get("options", []))

"""Modals: the form for a recovery, the reasons for sending and denying, and what a form says when it cannot be opened. Pure.

A form carries a one-use token bound to request, version and person; nothing else in it is believed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import PitstopError
from bot.model.commands import MAX_REASON_CHARS
from bot.model.requests import Request
from bot.slack.cards import actions
from bot.slack.cards.help import error_message
from bot.slack.cards.plan import plan_lines, target_line
from bot.slack.text import cut, cut_marked, escape, visible

CLUSTER, TARGET, AT, REASON, TYPED = "cluster", "target", "at", "reason", "typed"
WENT, NOTES = "went", "notes"
"""Block ids of the inputs, which errors are keyed by; each input's action id is the same word, but for the cluster's."""

MAX_OPTIONS = 100
MAX_VALUE_CHARS = 150
_MAX_TARGET_CHARS = 200
_MAX_SECTION = 2900

_WENT = (("It worked", "well"), ("Something has to be mended", "badly"))

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PitrDraft:
    """What the recovery form is filled in with."""

    cluster: str = ""
    target: str = ""
    reason: str = ""


def loading(title: str) -> View:
    """Return what is shown until the form is ready; Slack gives three seconds to open something."""
    return {"type": "modal", "title": plain_text(title, 24), "blocks": [_section("Looking …")]}


def refusal(title: str, error: PitstopError) -> View:
    """Return a form that only says why it cannot be used."""
    return {
        "type": "modal",
        "title": plain_text(title, 24),
        "close": plain_text("Close", 24),
        "blocks": [_section(error_message(error).text)],
    }


def pitr_form(draft: PitrDraft, *, token: str, zone: str) -> View:
    """Return the form that asks for a recovery: cluster, target as text or by picker, reason."""
    reading = f"Times are read in {escape(zone, 60)}; the plan says how each was read."
    return {
        "type": "modal",
        "callback_id": actions.PITR_FORM,
        "private_metadata": token,
        "title": plain_text("Point-in-time recovery", 24),
        "submit": plain_text("Make a plan", 24),
        "close": plain_text("Close", 24),
        "blocks": [
            input_block(CLUSTER, "Cluster", cluster_select(draft.cluster)),
            input_block(
                TARGET,
                "Go back to",
                _target_text(draft.target),
                optional=True,
                hint="14:30, before 14:30, xid:84213, latest …",
            ),
            input_block(AT, "or pick the minute", {"type": "datetimepicker", "action_id": AT}, optional=True),
            input_block(REASON, "Reason", reason_text(draft.reason), optional=True, hint="The approvers read it."),
            {"type": "context", "elements": [{"type": "mrkdwn", "text": reading}]},
        ],
    }


def reason_form(request: Request, *, token: str) -> View:
    """Return the form that sends a plan with its reason."""
    return {
        "type": "modal",
        "callback_id": actions.REASON_FORM,
        "private_metadata": token,
        "title": plain_text("Send for approval", 24),
        "submit": plain_text("Send", 24),
        "close": plain_text("Go back", 24),
        "blocks": [
            *_summary(request),
            input_block(
                REASON, "Why is this needed?", reason_text(request.reason), hint="The approvers and the audit read it."
            ),
        ],
    }


def approve_form(request: Request, *, token: str) -> View:
    """Return the form that says yes to something that replaces a live database: the cluster's name has to be typed out."""
    typed = {
        "type": "plain_text_input",
        "action_id": TYPED,
        "max_length": 80,
        "placeholder": plain_text("the name, exactly as above", 150),
    }
    return {
        "type": "modal",
        "callback_id": actions.APPROVE_FORM,
        "private_metadata": token,
        "title": plain_text("Approve in place", 24),
        "submit": plain_text("Approve", 24),
        "close": plain_text("Go back", 24),
        "blocks": [
            *_summary(request, lines=8),
            input_block(TYPED, "Type the name of the cluster", typed, hint="This replaces a live database."),
        ],
    }


def deny_form(request: Request, *, token: str) -> View:
    """Return the form that says no, with a reason."""
    return {
        "type": "modal",
        "callback_id": actions.DENY_FORM,
        "private_metadata": token,
        "title": plain_text("Deny the recovery", 24),
        "submit": plain_text("Deny", 24),
        "close": plain_text("Go back", 24),
        "blocks": [
            *_summary(request),
            input_block(REASON, "Why not?", reason_text(""), hint="The person who asked reads it."),
        ],
    }


def rehearsal_form(*, token: str) -> View:
    """Return the form for the notes of a rehearsal."""
    options = [{"text": plain_text(text, 75), "value": value} for text, value in _WENT]
    return {
        "type": "modal",
        "callback_id": actions.REHEARSAL_FORM,
        "private_metadata": token,
        "title": plain_text("Notes of a rehearsal", 24),
        "submit": plain_text("Keep", 24),
        "close": plain_text("Go back", 24),
        "blocks": [
            input_block(WENT, "How did it go?", {"type": "radio_buttons", "action_id": WENT, "options": options}),
            input_block(
                NOTES,
                "What was slow, unclear or wrong?",
                {"type": "plain_text_input", "action_id": NOTES, "multiline": True, "max_length": 2000},
                hint="Shown on the card, kept in the audit.",
            ),
        ],
    }


def cluster_options(clusters: Collection[str], typed: str) -> list[dict[str, Any]]:
    """Return the clusters whose name holds what was typed, those that begin with it first."""
    sought = visible(typed).lower()
    fitting = sorted(
        (name for name in clusters if sought in name), key=lambda name: (not name.startswith(sought), name)
    )
    return [option(name, name) for name in fitting[:MAX_OPTIONS]]


def filled_in(state: Mapping[str, Any]) -> dict[str, str]:
    """Return what was filled in, by block id; a picked time is its UNIX seconds, an empty input the empty string."""
    values = state.get("values") or {}
    return {
        block: _value(next(iter(inputs.values()), {})) for block, inputs in values.items() if isinstance(inputs, dict)
    }


def _value(element: Mapping[str, Any]) -> str:
    if element.get("selected_option"):
        return str(element["selected_option"].get("value", ""))
    found = element.get("selected_date_time", element.get("value"))
    return "" if found is None else str(found)


def _summary(request: Request, lines: int = 3) -> list[dict[str, Any]]:
    said = [f"*{escape(request.cluster, 80)}*", target_line(request.target, request.target_text)]
    if request.plan:
        said.extend(plan_lines(request.plan)[:lines])
    return [_section(cut_marked("\n".join(said), _MAX_SECTION))]


def cluster_select(cluster: str) -> dict[str, Any]:
    """Return the picker of a cluster."""
    select: dict[str, Any] = {
        "type": "external_select",
        "action_id": actions.CLUSTER_OPTIONS,
        "min_query_length": 0,
        "placeholder": plain_text("Choose a cluster", 150),
    }
    if cluster:
        select["initial_option"] = option(cluster, cluster)
    return select


def _target_text(target: str) -> dict[str, Any]:
    element: dict[str, Any] = {
        "type": "plain_text_input",
        "action_id": TARGET,
        "max_length": _MAX_TARGET_CHARS,
        "placeholder": plain_text("before 14:30", 150),
    }
    if target:
        element["initial_value"] = cut(visible(target), _MAX_TARGET_CHARS)
    return element


def reason_text(reason: str) -> dict[str, Any]:
    """Return the input of a reason."""
    element: dict[str, Any] = {
        "type": "plain_text_input",
        "action_id": REASON,
        "multiline": True,
        "max_length": MAX_REASON_CHARS,
    }
    if reason:
        element["initial_value"] = cut(visible(reason), MAX_REASON_CHARS)
    return element


def input_block(
    block: str, label: str, element: dict[str, Any], *, optional: bool = False, hint: str = ""
) -> dict[str, Any]:
    """Return one input with its label; its block id is what errors are keyed by."""
    found = {
        "type": "input",
        "block_id": block,
        "label": plain_text(label, 2000),
        "element": element,
        "optional": optional,
    }
    return {**found, "hint": plain_text(hint, 2000)} if hint else found


def option(text: str, value: str) -> dict[str, Any]:
    """Return one option of a select."""
    return {"text": plain_text(text, 75), "value": value[:MAX_VALUE_CHARS]}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def plain_text(text: str, limit: int) -> dict[str, Any]:
    """Return plain text, cut."""
    return {"type": "plain_text", "text": cut(text, limit), "emoji": False}

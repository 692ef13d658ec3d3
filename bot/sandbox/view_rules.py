"""Check a modal or Home tab as `views.*` does, and what people fill in as Slack's own client does; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bot.sandbox import limits
from bot.sandbox.blocks import check_blocks
from bot.sandbox.findings import Findings
from bot.sandbox.refusals import InvalidBlocks
from bot.sandbox.values import Json

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URL = re.compile(r"https?://\S+")


def require_view(view: Any, *, home: bool = False) -> Json:
    """Return the view, or raise.

    Raises:
        InvalidBlocks: code `invalid_arguments`; says which rule is broken and where.
    """
    findings = Findings()
    wanted = "home" if home else "modal"
    if not findings.mapping(view, "/view"):
        raise InvalidBlocks(findings.problems, "invalid_arguments")
    if view.get("type") != wanted:
        findings.add(f"must be of the type {wanted}", "/view/type")
    findings.string(view, "callback_id", "/view", limits.CALLBACK_ID)
    findings.string(view, "private_metadata", "/view", limits.PRIVATE_METADATA)
    if not home:
        findings.text(view, "title", "/view", limits.VIEW_TITLE, required=True)
        findings.text(view, "submit", "/view", limits.VIEW_TITLE)
        findings.text(view, "close", "/view", limits.VIEW_TITLE)
        if "submit" not in view and any(_is_input(block) for block in view.get("blocks") or []):
            findings.add("missing required field: submit, because there are input blocks", "/view")
    problems = findings.problems + [
        p.replace(":/blocks", ":/view/blocks") for p in check_blocks(view.get("blocks"), wanted)
    ]
    if problems:
        raise InvalidBlocks(problems, "invalid_arguments")
    return dict(view)


def _is_input(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "input"


def submission_errors(blocks: list[Json], values: Json) -> dict[str, str]:
    """Return what the person is told before anything is sent to the app, by block id."""
    errors = {}
    for block in blocks:
        if block["type"] == "input":
            element = block["element"]
            given = values.get(block["block_id"], {}).get(element["action_id"], {})
            problem = next(_problems(block, element, content(given)), "")
            if problem:
                errors[block["block_id"]] = problem
    return errors


def _problems(block: Json, element: Json, value: Any) -> Iterator[str]:
    kind = element["type"]
    if value in (None, "", []):
        if not block.get("optional"):
            yield "Please complete this required field."
        return
    if kind == "plain_text_input":
        if len(value) < element.get("min_length", 0):
            yield f"Please write at least {element['min_length']} characters."
        if len(value) > element.get("max_length", limits.INPUT_VALUE):
            yield f"Please write at most {element.get('max_length', limits.INPUT_VALUE)} characters."
    if kind == "email_text_input" and not _EMAIL.fullmatch(value):
        yield "Please enter an e-mail address."
    if kind == "url_text_input" and not _URL.fullmatch(value):
        yield "Please enter a link that starts with http:// or https://."
    if kind == "number_input":
        yield from _number_problems(element, value)


def _number_problems(element: Json, value: str) -> Iterator[str]:
    pattern = r"-?\d+(\.\d+)?" if element["is_decimal_allowed"] else r"-?\d+"
    if not re.fullmatch(pattern, value):
        yield "Please enter a number." if element["is_decimal_allowed"] else "Please enter a whole number."
        return
    if "min_value" in element and float(value) < float(element["min_value"]):
        yield f"Please enter {element['min_value']} or more."
    if "max_value" in element and float(value) > float(element["max_value"]):
        yield f"Please enter {element['max_value']} or less."


def content(state: Json) -> Any:
    """Return what a state entry holds, whatever its element's type."""
    return next((value for key, value in state.items() if key != "type"), None)

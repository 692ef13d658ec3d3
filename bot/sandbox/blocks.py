"""Check blocks, messages and views against Slack's rules, and give ids to what came without; pure.

Source: https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from bot.sandbox import elements, limits
from bot.sandbox.findings import Findings
from bot.sandbox.refusals import InvalidBlocks, SlackError
from bot.sandbox.values import Json

_EVERYWHERE = frozenset({"section", "divider", "image", "actions", "context", "header", "input", "rich_text", "video"})
_MESSAGE_ONLY = {"markdown", "table", "file", "context_actions", "task_card", "plan", "card", "carousel", "container"}
SURFACES = {
    "message": _EVERYWHERE | _MESSAGE_ONLY,
    "modal": _EVERYWHERE | {"alert"},
    "home": _EVERYWHERE,
}


def check_blocks(blocks: Any, surface: str = "message") -> list[str]:
    """Return every problem of a list of blocks on a surface: `message`, `modal` or `home`."""
    findings = Findings()
    most = limits.BLOCKS_PER_MESSAGE if surface == "message" else limits.BLOCKS_PER_VIEW
    listed = findings.items(blocks, "/blocks", most, least=0)
    for index, block in enumerate(listed):
        _check_block(block, f"/blocks/{index}", findings, SURFACES[surface])
    _check_uniqueness([block for block in listed if isinstance(block, dict)], findings)
    return findings.problems


def require_blocks(blocks: Any, surface: str = "message") -> list[Json]:
    """Return copies of the blocks, with ids, or raise.

    Raises:
        InvalidBlocks: a rule is broken; says which and where.
        SlackError: more than one table in a message.
    """
    problems = check_blocks(blocks, surface)
    if problems:
        raise InvalidBlocks(problems)
    copies: list[Json] = json.loads(json.dumps(blocks))
    if sum(block["type"] == "table" for block in copies) > 1:
        raise SlackError("only_one_table_allowed")
    return copies


def name_blocks(blocks: list[Json], new_id: Callable[[], str]) -> list[Json]:
    """Give a `block_id` to each block and an `action_id` to each interactive element that came without one."""
    for block in blocks:
        block.setdefault("block_id", new_id())
        for element in interactive(block):
            element.setdefault("action_id", new_id())
    return blocks


def interactive(block: Json) -> Iterator[Json]:
    """Yield the elements of a block that a person can use."""
    inside = [
        *_as_list(block.get("elements")),
        block.get("accessory"),
        block.get("element"),
        *_as_list(block.get("actions")),
    ]
    for element in inside:
        if isinstance(element, dict) and element.get("type") in elements.IN_ACTIONS | elements.IN_INPUT:
            yield element


def find_element(blocks: list[Json], action_id: str, block_id: str | None = None) -> tuple[Json, Json] | None:
    """Return the block and the element with this `action_id`, or None."""
    for block in blocks:
        if block_id is None or block.get("block_id") == block_id:
            for element in interactive(block):
                if element.get("action_id") == action_id:
                    return block, element
    return None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _check_uniqueness(blocks: list[Json], findings: Findings) -> None:
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        block_id = block.get("block_id")
        if isinstance(block_id, str):
            if block_id in seen:
                findings.add(f"`block_id` {block_id} already exists", f"/blocks/{index}/block_id")
            seen.add(block_id)
        ids = [element["action_id"] for element in interactive(block) if element.get("action_id")]
        for action_id in {each for each in ids if ids.count(each) > 1}:
            findings.add(f"`action_id` {action_id} already exists in this block", f"/blocks/{index}")


def _check_block(block: Any, path: str, findings: Findings, allowed: frozenset[str]) -> None:
    if not findings.mapping(block, path):
        return
    kind = block.get("type")
    if kind not in allowed:
        findings.add(f"unsupported type: {kind}", f"{path}/type")
        return
    findings.string(block, "block_id", path, limits.BLOCK_ID)
    check = _CHECKS.get(kind)
    if check:
        check(block, path, findings)


def _section(block: Json, path: str, findings: Findings) -> None:
    if "text" not in block and "fields" not in block:
        findings.add("must have text or fields", path)
    findings.text(block, "text", path, limits.SECTION_TEXT, kinds=elements.TEXTS)
    if "fields" in block:
        fields = findings.items(block["fields"], f"{path}/fields", limits.SECTION_FIELDS)
        for index, field in enumerate(fields):
            findings.text({str(index): field}, str(index), f"{path}/fields", limits.FIELD_TEXT, kinds=elements.TEXTS)
    if "accessory" in block:
        elements.check_element(block["accessory"], f"{path}/accessory", findings, elements.IN_SECTION)


def _header(block: Json, path: str, findings: Findings) -> None:
    findings.text(block, "text", path, limits.HEADER_TEXT, required=True)


def _context(block: Json, path: str, findings: Findings) -> None:
    for index, element in enumerate(findings.items(block.get("elements"), f"{path}/elements", limits.CONTEXT_ELEMENTS)):
        place = f"{path}/elements/{index}"
        if findings.mapping(element, place):
            if element.get("type") == "image":
                elements.check_picture(element, place, findings)
            else:
                findings.text(
                    {str(index): element}, str(index), f"{path}/elements", limits.SECTION_TEXT, kinds=elements.TEXTS
                )


def _actions(block: Json, path: str, findings: Findings) -> None:
    for index, element in enumerate(findings.items(block.get("elements"), f"{path}/elements", limits.ACTIONS_ELEMENTS)):
        elements.check_element(element, f"{path}/elements/{index}", findings, elements.IN_ACTIONS)


def _context_actions(block: Json, path: str, findings: Findings) -> None:
    for index, element in enumerate(findings.items(block.get("elements"), f"{path}/elements", 5)):
        elements.check_element(element, f"{path}/elements/{index}", findings, elements.IN_CONTEXT_ACTIONS)


def _input(block: Json, path: str, findings: Findings) -> None:
    findings.text(block, "label", path, limits.INPUT_LABEL, required=True)
    findings.text(block, "hint", path, limits.INPUT_HINT)
    findings.flag(block, "optional", path)
    findings.flag(block, "dispatch_action", path)
    elements.check_element(block.get("element"), f"{path}/element", findings, elements.IN_INPUT)


def _image(block: Json, path: str, findings: Findings) -> None:
    elements.check_picture(block, path, findings)
    findings.text(block, "title", path, limits.IMAGE_TITLE)


def _markdown(block: Json, path: str, findings: Findings) -> None:
    findings.string(block, "text", path, limits.MARKDOWN_TEXT, required=True)


def _rich_text(block: Json, path: str, findings: Findings) -> None:
    kinds = {"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"}
    for index, element in enumerate(findings.items(block.get("elements"), f"{path}/elements", 1000)):
        if not isinstance(element, dict) or element.get("type") not in kinds:
            findings.add("unsupported type of rich text", f"{path}/elements/{index}")
        elif not isinstance(element.get("elements"), list):
            findings.add("missing required field: elements", f"{path}/elements/{index}")


def _table(block: Json, path: str, findings: Findings) -> None:
    for number, row in enumerate(findings.items(block.get("rows"), f"{path}/rows", limits.TABLE_ROWS)):
        for column, cell in enumerate(findings.items(row, f"{path}/rows/{number}", limits.TABLE_CELLS)):
            if not isinstance(cell, dict) or cell.get("type") not in {"raw_text", "raw_number", "rich_text"}:
                findings.add("a cell must be raw_text, raw_number or rich_text", f"{path}/rows/{number}/{column}")
            elif cell["type"] == "raw_text":
                findings.string(cell, "text", f"{path}/rows/{number}/{column}", limits.SECTION_TEXT, required=True)


def _alert(block: Json, path: str, findings: Findings) -> None:
    findings.text(block, "text", path, limits.ALERT_TEXT, kinds=elements.TEXTS, required=True)
    findings.choice(block, "level", path, ("default", "info", "warning", "error", "success"))


def _task_card(block: Json, path: str, findings: Findings) -> None:
    findings.string(block, "task_id", path, limits.BLOCK_ID, required=True)
    findings.string(block, "title", path, limits.SECTION_TEXT, required=True)
    findings.choice(block, "status", path, ("pending", "in_progress", "complete", "error"))


def _plan(block: Json, path: str, findings: Findings) -> None:
    findings.string(block, "title", path, limits.SECTION_TEXT, required=True)
    for index, task in enumerate(_as_list(block.get("tasks"))):
        if findings.mapping(task, f"{path}/tasks/{index}"):
            _task_card(task, f"{path}/tasks/{index}", findings)


_CHECKS: dict[str, Callable[[Json, str, Findings], None]] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "context_actions": _context_actions,
    "actions": _actions,
    "input": _input,
    "image": _image,
    "markdown": _markdown,
    "rich_text": _rich_text,
    "table": _table,
    "alert": _alert,
    "task_card": _task_card,
    "plan": _plan,
}

"""Block Kit with Slack's limits kept by construction; a card's text for screen readers comes from the lines it is made of.

Limits: https://docs.slack.dev/reference/block-kit/blocks and chat.update (text above 4,000 characters is refused).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bot.slack.text import cut, cut_marked, entities, visible

MAX_BLOCKS = 50
MAX_SECTION_CHARS = 3000
MAX_TEXT_CHARS = 4000
MAX_HEADER_CHARS = 150
MAX_BUTTONS = 5
MAX_BUTTON_CHARS = 75
MAX_VALUE_CHARS = 2000
MAX_CONTEXT_CHARS = 2000
_MAX_LINE_CHARS = 1500
_ROOM_FOR_LINES = 40

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: `text` carries the whole meaning (screen readers skip blocks), `blocks` show it."""

    text: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def inert(self) -> Message:
        """The same message without anything to press."""
        return replace(self, blocks=[block for block in self.blocks if block["type"] != "actions"])

    @property
    def live(self) -> bool:
        """Whether there is anything to press."""
        return any(block["type"] == "actions" for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Button:
    """One button: `action` names the listener, `value` is an opaque id. `confirm` asks once more before it counts."""

    label: str
    action: str
    value: str
    style: str | None = None
    confirm: tuple[str, str] | None = None

    def as_block(self) -> Block:
        """Return Block Kit's form."""
        block: Block = {
            "type": "button",
            "text": _plain(self.label, MAX_BUTTON_CHARS),
            "action_id": self.action,
            "value": self.value[:MAX_VALUE_CHARS],
        }
        if self.style:
            block["style"] = self.style
        if self.confirm:
            block["confirm"] = {
                "title": _plain(self.confirm[0], 100),
                "text": _plain(self.confirm[1], 300),
                "confirm": _plain(self.label, 30),
                "deny": _plain("Go back", 30),
            }
        return block


class Card:
    """Collects a title, lines, notes and buttons, and makes a message no limit of Slack's refuses.

    Lines and notes are mrkdwn whose foreign parts were escaped by the caller. `key` makes block ids that change with each version.
    """

    def __init__(self, title: str, *, key: str = "") -> None:
        self._title = cut(visible(title), MAX_HEADER_CHARS)
        self._key = key[:200]
        self._blocks: list[Block] = []
        self._spoken: list[str] = [entities(self._title)]
        self._actions: Block | None = None

    def lines(self, *lines: str) -> Card:
        """Add lines, packed into as few sections as they fit in; empty ones are left out."""
        packed = ""
        for line in (cut_marked(line, _MAX_LINE_CHARS) for line in lines if line):
            if packed and len(packed) + 1 + len(line) > MAX_SECTION_CHARS:
                self._section(packed)
                packed = ""
            packed = f"{packed}\n{line}" if packed else line
            self._spoken.append(line)
        if packed:
            self._section(packed)
        return self

    def shown(self, line: str, *, spoken: str = "") -> Card:
        """Add a line that looks better than it sounds (a bar, a table), with what a screen reader says instead."""
        self._section(cut_marked(line, MAX_SECTION_CHARS))
        if spoken:
            self._spoken.append(spoken)
        return self

    def note(self, line: str) -> Card:
        """Add a line in small print."""
        if line and len(self._blocks) < _ROOM_FOR_LINES:
            text = cut_marked(line, MAX_CONTEXT_CHARS)
            self._blocks.append({"type": "context", "elements": [_mrkdwn(text)]})
            self._spoken.append(text)
        return self

    def divider(self) -> Card:
        """Add a thin line."""
        if self._blocks and len(self._blocks) < _ROOM_FOR_LINES:
            self._blocks.append({"type": "divider"})
        return self

    def buttons(self, *buttons: Button | None) -> Card:
        """Add what can be pressed, at most five; None is left out."""
        given = [button.as_block() for button in buttons if button is not None][:MAX_BUTTONS]
        if given:
            self._actions = {"type": "actions", "elements": given}
        return self

    def message(self) -> Message:
        """Return the finished message."""
        blocks: list[Block] = [{"type": "header", "text": _plain(self._title, MAX_HEADER_CHARS)}, *self._blocks]
        if self._actions:
            blocks.append(self._actions)
        if self._key:
            for number, block in enumerate(blocks):
                block["block_id"] = f"{self._key}:{number}"
        return Message(cut_marked("\n".join(self._spoken), MAX_TEXT_CHARS), blocks)

    def _section(self, text: str) -> None:
        if len(self._blocks) < _ROOM_FOR_LINES:
            self._blocks.append({"type": "section", "text": _mrkdwn(text)})
        elif self._blocks[-1]["type"] != "context":
            self._blocks.append({"type": "context", "elements": [_mrkdwn("… and more; see `pitstop request show`.")]})


def _plain(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": cut(visible(text), limit) or "…", "emoji": False}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text, "verbatim": True}

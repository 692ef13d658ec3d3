"""What runs around a restore in place: the application stopped and started, and the page that says whether it is well. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

Command = tuple[str, ...]
"""A program with its whole path, and its arguments; no shell reads it."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands before and after, each with `limit_s` seconds; then `health_url` must answer 2xx within `health_s`.

    `undo_unless_healthy`: a page that is not well takes the swap back at once; else undo is offered.
    """

    before: tuple[Command, ...] = ()
    after: tuple[Command, ...] = ()
    limit_s: int = 60
    health_url: str | None = None
    health_s: int = 60
    undo_unless_healthy: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        lists = {
            "before": [list(command) for command in self.before],
            "after": [list(command) for command in self.after],
        }
        return {**asdict(self), **lists}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Hooks:
        """Read what `as_json` wrote."""
        lists = {word: tuple(tuple(command) for command in data[word]) for word in ("before", "after")}
        return cls(**{**data, **lists})

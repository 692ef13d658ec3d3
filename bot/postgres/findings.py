"""One checked point of a server, for `pitstop check` and the hourly WAL check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked point: `sentence` for people, `fix` the line that puts it right (empty when ok)."""

    level: Level
    code: str
    sentence: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """Return JSON types only."""
        return asdict(self)

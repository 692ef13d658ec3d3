"""The place a repository lies in, a bucket or a container: setting it up, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

State = Literal["there", "done", "would", "by-hand", "unsupported", "failed"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing of a place: `there` before, `done` now, what a dry run `would` do, or who has to do it `by-hand` (a command)."""

    name: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Remark:
    """One point about a live place: `level` is ok, warn or fail; `fix` puts it right."""

    level: str
    code: str
    sentence: str
    fix: str = ""


class Place(Protocol):
    """A bucket or a container."""

    def setup(self, *, dry_run: bool) -> Iterator[Step]:
        """Yield what is done, or would be; done twice it changes nothing."""
        ...

    def document(self) -> dict[str, Any]:
        """Return the rules as they are sent."""
        ...

    def remarks(self) -> Iterator[Remark]:
        """Yield what is good and bad about it."""
        ...

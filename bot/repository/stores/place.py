"""The place a repository lies in, a bucket or a container: setting it up, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bot.errors import PitstopError

State = Literal["there", "done", "would", "perhaps", "unseen", "by-hand", "unsupported", "failed"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing of a place: `there` before, `done` now, what a dry run `would` do, or who has to do it `by-hand` (a command).

    What a dry run could not look at is `unseen`; it would `perhaps` do what is not there.
    """

    name: str
    state: str
    text: str


def unseen(what: str, error: PitstopError) -> Step:
    """Return what a dry run says of something it could not look at."""
    return Step("look", "unseen", f"{what}: {error.message}{f' {error.hint}' if error.hint else ''}")


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
        """Yield what is done, or would be; done twice it changes nothing. A dry run goes on without what cannot be looked at."""
        ...

    def document(self) -> dict[str, Any]:
        """Return the rules as they are sent."""
        ...

    def remarks(self) -> Iterator[Remark]:
        """Yield what is good and bad about it."""
        ...

"""A bounded, numbered log of what changed, from which pages and drivers follow the workspace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bot.sandbox.values import Json

KEPT = 5000


@dataclass(frozen=True, slots=True)
class Change:
    """One change; `audience` None means everyone."""

    sequence: int
    kind: str
    data: Json
    audience: frozenset[str] | None

    def concerns(self, user: str) -> bool:
        """Say whether `user` may see it."""
        return self.audience is None or user in self.audience


class Changes:
    """The log. `watch` callbacks run at each note, in the thread that notes."""

    def __init__(self) -> None:
        self.sequence = 0
        self._log: deque[Change] = deque(maxlen=KEPT)
        self._watchers: set[Callable[[], None]] = set()

    def note(self, kind: str, data: Json, audience: frozenset[str] | None = None) -> None:
        """Append one change and tell those who watch."""
        self.sequence += 1
        self._log.append(Change(self.sequence, kind, data, audience))
        for watcher in tuple(self._watchers):
            watcher()

    def since(self, sequence: int) -> list[Change] | None:
        """Return the changes after `sequence`, or None when some of them are no longer kept."""
        if self._log and self._log[0].sequence > sequence + 1:
            return None
        return [change for change in self._log if change.sequence > sequence]

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` at each change until the returned function is called."""
        self._watchers.add(watcher)
        return lambda: self._watchers.discard(watcher)

"""The rules of retention, as a cluster's configuration gives them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long each kind is kept, how many at least, and which share of all backups one run may remove unasked."""

    base: timedelta = timedelta(days=30)
    incremental: timedelta = timedelta(days=7)
    dump: timedelta = timedelta(days=30)
    wal: timedelta = timedelta(days=7)
    minimum_base: int = 2
    minimum_dump: int = 2
    most_at_once: float = 0.5

    def age(self, kind: str) -> timedelta:
        """Return how long backups of a kind are kept."""
        return {"base": self.base, "incr": self.incremental, "dump": self.dump}[kind]

    def minimum(self, kind: str) -> int:
        """Return how many sound ones of a kind are kept, whatever their age."""
        return {"base": self.minimum_base, "incr": 1, "dump": self.minimum_dump}[kind]

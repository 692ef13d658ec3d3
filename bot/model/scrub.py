"""Which stored objects are read again today, and how old the oldest look at any of them is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

_SHARE = re.compile(r"^(\d+(?:\.\d+)?)\s*%\Z")
_BYTES = re.compile(r"^(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?\Z", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: its size in bytes, and since when it is known to be right, aware UTC.

    That is when it was last read, or when it was written. `damaged` says that it was not right when it was last read.
    """

    path: str
    size: int
    known_at: datetime
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """How much is read per day: a share of all that is stored, or a number of bytes."""

    share: float | None = None
    size: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `5%`, `20GiB`, `500 MB`.

        Raises:
            ValueError: it is neither.
        """
        if match := _SHARE.match(text.strip()):
            share = float(match[1]) / 100
            if not 0 < share <= 1:
                raise ValueError("a share is more than 0% and at most 100%")
            return cls(share=share)
        if match := _BYTES.match(text.strip()):
            unit = (match[2] or "").lower()
            size = int(float(match[1]) * (1024 if unit.endswith("i") else 1000) ** _POWERS[unit.removesuffix("i")])
            if size > 0:
                return cls(size=size)
        raise ValueError("write a share or a size per day, like 5% or 20GiB")

    def of(self, total: int) -> int:
        """Return the bytes per day where `total` are stored."""
        return self.size if self.size is not None else int(total * (self.share or 0))


def due(objects: Iterable[Stored], budget: int | None) -> list[Stored]:
    """Return what is read now: whatever was damaged, then what was read longest ago, within `budget` bytes (None: everything).

    What was damaged is read whatever the budget, since nobody may take it for mended unread. Of the rest at least one object,
    however large, so that none is out of reach of any budget; none where nothing is left of it.
    """
    ordered = sorted(objects, key=lambda one: (not one.damaged, one.known_at, one.path))
    if budget is None:
        return ordered
    chosen = [one for one in ordered if one.damaged]
    left, first = budget - sum(one.size for one in chosen), not chosen
    for one in ordered[len(chosen) :]:
        if budget <= 0 or (one.size > left and not first):
            break
        chosen.append(one)
        left, first = left - one.size, False
    return chosen


def coverage_age(objects: Iterable[Stored], now: datetime) -> timedelta:
    """Return how long ago the object that was looked at longest ago was looked at; nothing stored is 0."""
    oldest = min((one.known_at for one in objects), default=now)
    return max(now - oldest, timedelta(0))

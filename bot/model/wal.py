"""PostgreSQL's WAL words: LSN, segment, timeline, history file; their names and arithmetic."""

from __future__ import annotations

import re
from dataclasses import dataclass

DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024
_LSN = re.compile(r"^([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})\Z")
_SEGMENT = re.compile(r"^[0-9A-F]{24}\Z")
_HISTORY = re.compile(r"^([0-9A-F]{8})\.history\Z")


class Lsn(int):
    """A position in the WAL, in bytes; prints as PostgreSQL does: `0/16B3748`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Read PostgreSQL's `X/X` form.

        Raises:
            ValueError: `text` is not of that form.
        """
        match = _LSN.match(text.strip())
        if match is None:
            raise ValueError(f"not an LSN: {text!r}")
        return cls((int(match[1], 16) << 32) | int(match[2], 16))

    def __str__(self) -> str:
        return f"{int(self) >> 32:X}/{int(self) & 0xFFFFFFFF:X}"

    def __repr__(self) -> str:
        return f"Lsn({self})"


def segment_number(lsn: Lsn, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> int:
    """Return the number of the segment that holds the byte at `lsn`."""
    return int(lsn) // segment_bytes


def segment_name(timeline: int, number: int, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> str:
    """Return the 24 hex digits PostgreSQL names a segment with."""
    per_id = 0x1_0000_0000 // segment_bytes
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def parse_segment_name(name: str, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> tuple[int, int]:
    """Return (timeline, segment number) of a 24-digit segment name.

    Raises:
        ValueError: `name` is not a segment's name.
    """
    if not _SEGMENT.match(name):
        raise ValueError(f"not a WAL segment name: {name!r}")
    per_id = 0x1_0000_0000 // segment_bytes
    timeline, high, low = int(name[:8], 16), int(name[8:16], 16), int(name[16:], 16)
    if timeline == 0 or low >= per_id:
        raise ValueError(f"not a WAL segment name: {name!r}")
    return timeline, high * per_id + low


def segment_start(number: int, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> Lsn:
    """Return the LSN of the first byte of segment `number`."""
    return Lsn(number * segment_bytes)


def history_name(timeline: int) -> str:
    """Return the name of the history file of `timeline`: `00000002.history`."""
    return f"{timeline:08X}.history"


def parse_history_name(name: str) -> int | None:
    """Return the timeline a history file's name speaks of, or None when `name` is not one."""
    match = _HISTORY.match(name)
    return int(match[1], 16) if match else None


@dataclass(frozen=True, slots=True)
class Fork:
    """One line of a history file: `timeline` was left at `lsn` (first byte that belongs to the child)."""

    timeline: int
    lsn: Lsn


def parse_history(text: str) -> tuple[Fork, ...]:
    """Read a history file's content: its ancestors, oldest first.

    Raises:
        ValueError: a line is neither empty, a comment, nor `timeline<TAB>lsn<TAB>reason`.
    """
    forks = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        parts = line.split(None, 2)
        if len(parts) < 2 or not parts[0].isdigit():
            raise ValueError(f"not a line of a timeline history file: {line!r}")
        forks.append(Fork(int(parts[0]), Lsn.parse(parts[1])))
    return tuple(forks)


@dataclass(frozen=True, slots=True)
class WalRange:
    """Bytes [start, end) of one timeline's WAL that are durable without a hole."""

    timeline: int
    start: Lsn
    end: Lsn

    def covers(self, lsn: Lsn) -> bool:
        """Say whether WAL up to (not including) `lsn` is in this range."""
        return self.start <= lsn <= self.end


def merge_ranges(ranges: list[WalRange]) -> list[WalRange]:
    """Return the same coverage as the fewest ranges, ordered by timeline and start."""
    merged: list[WalRange] = []
    for piece in sorted(ranges, key=lambda r: (r.timeline, r.start, r.end)):
        if merged and merged[-1].timeline == piece.timeline and piece.start <= merged[-1].end:
            last = merged[-1]
            merged[-1] = WalRange(last.timeline, last.start, max(last.end, piece.end))
        elif piece.end > piece.start:
            merged.append(piece)
    return merged

"""Timelines: the one line of descent that leads to a timeline, and where its WAL is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.model.wal import Fork, Lsn, WalRange, merge_ranges, segment_number, segment_start

_END = Lsn(1 << 64)


@dataclass(frozen=True, slots=True)
class Leg:
    """WAL positions [start, end) belong to `timeline`; the last leg has no end."""

    timeline: int
    start: Lsn
    end: Lsn = _END


@dataclass(frozen=True, slots=True)
class Stretch:
    """WAL positions [start, end) can be read without a hole along one line of descent."""

    start: Lsn
    end: Lsn

    def covers(self, start: Lsn, end: Lsn) -> bool:
        """Say whether everything from `start` up to (not including) `end` is in it."""
        return self.start <= start and end <= self.end


@dataclass(frozen=True, slots=True)
class Lineage:
    """The line of descent that ends in one timeline, oldest leg first."""

    legs: tuple[Leg, ...]

    @property
    def timeline(self) -> int:
        """The timeline it leads to."""
        return self.legs[-1].timeline

    def timeline_at(self, lsn: Lsn) -> int:
        """Return the timeline that the byte at `lsn` belongs to."""
        return next(leg.timeline for leg in reversed(self.legs) if leg.start <= lsn or leg is self.legs[0])

    def file_timeline(self, number: int, segment_bytes: int) -> int:
        """Return the timeline in the name of the file that a server reads segment `number` from.

        A child's first file repeats what its parent wrote into that segment, so the youngest leg wins.
        """
        for leg in reversed(self.legs):
            if segment_number(leg.start, segment_bytes) <= number:
                return leg.timeline
        return self.legs[0].timeline

    def holds(self, timeline: int, start: Lsn, end: Lsn) -> bool:
        """Say whether WAL written from `start` to `end` on `timeline` lies on this line of descent."""
        return any(leg.timeline == timeline and leg.start <= start and end <= leg.end for leg in self.legs)

    def stretches(self, ranges: Iterable[WalRange], segment_bytes: int) -> list[Stretch]:
        """Return where this line's WAL can be read without a hole, in order."""
        clipped = []
        for leg in self.legs:
            floor = segment_start(segment_number(leg.start, segment_bytes), segment_bytes)
            for piece in ranges:
                if piece.timeline == leg.timeline:
                    start, end = max(piece.start, floor), min(piece.end, leg.end)
                    clipped.append(WalRange(self.timeline, start, end))
        return [Stretch(piece.start, piece.end) for piece in merge_ranges(clipped)]


def lineage(timeline: int, histories: Mapping[int, tuple[Fork, ...]]) -> Lineage:
    """Return the line of descent to `timeline`; without its history file, `timeline` alone.

    A history file names all ancestors with the position where each was left. Pure.
    """
    legs, start = [], Lsn(0)
    for fork in histories.get(timeline, ()):
        legs.append(Leg(fork.timeline, start, fork.lsn))
        start = fork.lsn
    return Lineage((*legs, Leg(timeline, start)))

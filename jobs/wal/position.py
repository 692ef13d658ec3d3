"""Where streaming starts: pure decisions over what spool and repositories hold, the kept slot, and timeline history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.model.wal import Fork, Lsn, segment_number, segment_start


@dataclass(frozen=True, slots=True)
class Position:
    """Stream `timeline` from `start`, a segment's first byte. What is durable without a hole is counted from `counted_from`."""

    timeline: int
    start: Lsn
    counted_from: Lsn


@dataclass(frozen=True, slots=True)
class Gap:
    """WAL [start, end) of a timeline that neither we nor the server have any more."""

    timeline: int
    start: Lsn
    end: Lsn

    def as_json(self) -> dict[str, int | str]:
        """Return JSON types only."""
        return {"timeline": self.timeline, "start": str(self.start), "end": str(self.end)}


@dataclass(frozen=True, slots=True)
class Held:
    """Segments in spool and repositories by timeline: `whole` ones, and those `begun`, of which only the first part is there."""

    whole: Mapping[int, set[int]]
    begun: Mapping[int, set[int]]

    def any_of(self, timeline: int) -> bool:
        """Say whether anything of a timeline is held."""
        return bool(self.whole.get(timeline) or self.begun.get(timeline))


def start_position(
    *,
    held: Held,
    kept_from: Lsn,
    server_timeline: int,
    forks: Sequence[Fork],
    segment_bytes: int,
) -> Position:
    """Decide where to start on a server that is on `server_timeline`, whose ancestors are `forks`, oldest first.

    `kept_from` is the kept slot's position: nothing before it is missing as long as that slot was never lost.
    Streaming resumes on the newest timeline of this line of descent we hold anything of, at the end of what we hold without
    a hole; past its fork, on the child from the segment that holds the fork. Timelines outside this line are left as they are.
    """
    legs = [*((fork.timeline, fork.lsn) for fork in forks), (server_timeline, None)]
    floor = segment_start(segment_number(kept_from, segment_bytes), segment_bytes)
    index = max((i for i, (timeline, _) in enumerate(legs) if held.any_of(timeline)), default=None)
    if index is None:
        return Position(server_timeline, floor, floor)
    timeline, fork = legs[index]
    number = _resume(
        held.whole.get(timeline, set()), held.begun.get(timeline, set()), segment_number(floor, segment_bytes)
    )
    start = segment_start(number, segment_bytes)
    if fork is not None and start > fork:
        child = segment_start(segment_number(fork, segment_bytes), segment_bytes)
        return Position(legs[index + 1][0], child, child)
    return Position(timeline, start, min(floor, start))


def after_gap(*, kept_from: Lsn, server_timeline: int, forks: Sequence[Fork], segment_bytes: int) -> Position:
    """Decide where to start when the server has dropped the WAL that continuity needs: where its slot still keeps it. Pure."""
    floor = segment_start(segment_number(kept_from, segment_bytes), segment_bytes)
    timeline = next((fork.timeline for fork in forks if floor < fork.lsn), server_timeline)
    return Position(timeline, floor, floor)


def _resume(whole: set[int], begun: set[int], floor: int) -> int:
    """Return the first segment to ask for: the first missing one at or after `floor`, or where what we hold ends before it."""
    if floor in whole:
        number = floor
        while number in whole:
            number += 1
        return number
    return max([*(number + 1 for number in whole if number < floor), *(n for n in begun if n <= floor)], default=floor)

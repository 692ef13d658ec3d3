"""A cluster's WAL in a repository: whole segments, partial pieces of the current ones, and history files."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from bot.errors import Conflict, Corruption
from bot.model.wal import (
    Lsn,
    WalRange,
    history_name,
    merge_ranges,
    parse_history_name,
    parse_segment_name,
    segment_name,
    segment_start,
)
from bot.repository import layout
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.keys.lost import KeyUnopened

if TYPE_CHECKING:
    from bot.repository.repository import Repository

_DIGITS = "0123456789ABCDEF"
_HOLES, _IN_A_HOLE = 4, 4
"""So many holes, and of each so many segments, are looked at again; more do not become whole during one listing."""
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class WalInventory:
    """What a listing shows, without reading.

    `segments` are the whole ones of each timeline, ordered numbers. `partial_ends` says how far the pieces of the others reach
    without a hole: bytes from the segment's start, keyed by (timeline, number). `sizes` are the bytes that each takes as stored,
    pieces included, and `stored_at` is when the newest WAL of a timeline was stored.
    """

    segments: dict[int, list[int]]
    partial_ends: dict[tuple[int, int], int]
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    stored_at: dict[int, datetime] = field(default_factory=dict)


class WalArchive:
    """Segments are written once. Writing the same bytes again changes nothing; other bytes are Corruption `wal-differs`."""

    def __init__(self, repository: Repository, folder: str, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self._repository = repository
        self._folder = folder

    def put_segment(self, timeline: int, number: int, data: Buffer) -> int:
        """Store a whole segment durably and return its size as stored (0 when it was there).

        Raises:
            ValueError: `data` is not exactly `segment_bytes` long.
            Corruption: `wal-differs`.
        """
        if len(data) != self.segment_bytes:
            raise ValueError(f"a segment has {self.segment_bytes} bytes, not {len(data)}")
        return self._put(self._segment(timeline, number), data)

    def put_piece(self, timeline: int, number: int, offset: int, data: Buffer) -> int:
        """Store bytes [offset, offset+len) of a segment that is not complete yet; returns the size as stored (0: was there).

        Raises:
            ValueError: the range is empty or not within a segment.
            Corruption: `wal-differs`.
        """
        end = offset + len(data)
        if not 0 <= offset < end <= self.segment_bytes:
            raise ValueError(f"bytes {offset} to {end} are not a part of a segment")
        return self._put(f"{self._segment(timeline, number)}{layout.PARTIAL}/{layout.piece(offset, end)}", data)

    def put_history(self, timeline: int, data: bytes) -> None:
        """Store a timeline's history file.

        Raises:
            Corruption: `wal-differs`, another history of that timeline is here.
        """
        self._put(self._history(timeline), data)

    def read_segment(self, timeline: int, number: int) -> bytes | None:
        """Return a whole segment, or None when it is not here as a whole (see `read_pieces`).

        Raises:
            ObjectDamaged: it is here and cannot be trusted.
        """
        path = self._segment(timeline, number)
        try:
            data = self._repository.read_body(path)
        except ObjectMissing:
            return None
        if len(data) != self.segment_bytes:
            raise ObjectDamaged(path, f"it holds {len(data)} bytes instead of {self.segment_bytes}")
        return data

    def read_pieces(self, timeline: int, number: int) -> bytes | None:
        """Return the longest run of bytes from the segment's start that its pieces make up, or None when there is none.

        Raises:
            Corruption: a piece is damaged, or two that overlap differ (`wal-differs`).
        """
        folder = f"{self._segment(timeline, number)}{layout.PARTIAL}"
        chosen = chain(self._pieces(folder))
        assembled = bytearray()
        for offset, end in chosen:
            path = f"{folder}/{layout.piece(offset, end)}"
            data = self._repository.read_body(path)
            if len(data) != end - offset:
                raise ObjectDamaged(path, f"it holds {len(data)} bytes instead of {end - offset}")
            overlap = len(assembled) - offset
            if assembled[offset:] != data[:overlap]:
                raise _differs(path)
            assembled += data[overlap:]
        return bytes(assembled) if assembled else None

    def drop_pieces(self, timeline: int, number: int) -> int:
        """Delete a segment's pieces if the whole segment is here and can be read; return how many."""
        folder = f"{self._segment(timeline, number)}{layout.PARTIAL}"
        names = self._repository.store.children(folder)
        if not names or self.read_segment(timeline, number) is None:
            return 0
        for name in names:
            self._repository.store.delete(f"{folder}/{name}")
        return len(names)

    def remove_segment(self, timeline: int, number: int) -> None:
        """Delete what is stored of a segment, pieces and all. Idempotent."""
        path = self._segment(timeline, number)
        for name in self._repository.store.children(f"{path}{layout.PARTIAL}"):
            self._repository.store.delete(f"{path}{layout.PARTIAL}/{name}")
        self._repository.store.delete(path)

    def histories(self, *, readable: bool = False) -> dict[int, bytes]:
        """Return every history file, by the timeline it tells of; with `readable` those that cannot be read are left out.

        Raises:
            ObjectDamaged: one cannot be trusted.
        """
        found = {}
        for timeline in self._timelines():
            try:
                found[timeline] = self._repository.read_body(self._history(timeline))
            except ObjectMissing:
                continue  # the first timeline of a cluster has none
            except (ObjectDamaged, KeyUnopened):
                if not readable:
                    raise
        return found

    def inventory(self) -> WalInventory:
        """List what is here: one listing, nothing is read."""
        whole: dict[int, set[int]] = {}
        pieces: dict[tuple[int, int], list[tuple[int, int]]] = {}
        sizes: dict[tuple[int, int], int] = {}
        stored_at: dict[int, datetime] = {}
        for info in self._repository.store.list(self._folder):
            which = self._note(info.path[len(self._folder) + 1 :].split("/"), whole, pieces)
            if which is not None:
                sizes[which] = sizes.get(which, 0) + info.size
                stored_at[which[0]] = max(stored_at.get(which[0], info.modified), info.modified)
        return WalInventory(self._whole(whole, pieces), _reach(whole, pieces), sizes, stored_at)

    def ranges(self, segment_bytes: int | None = None) -> list[WalRange]:
        """Return the WAL that is here without holes, as the fewest ranges: one listing of names, no object is looked at.

        Raises:
            ValueError: `segment_bytes` is given and not the cluster's.
        """
        if segment_bytes not in {None, self.segment_bytes}:
            raise ValueError(f"the segments here have {self.segment_bytes} bytes, not {segment_bytes}")
        whole, pieces = self._sorted(self._repository.store.names(self._folder))
        return ranges_of(WalInventory(self._whole(whole, pieces), _reach(whole, pieces)), self.segment_bytes)

    def _sorted(self, paths: Iterable[str]) -> tuple[dict[int, set[int]], dict[tuple[int, int], list[tuple[int, int]]]]:
        """Sort listed paths into segments and pieces. Fast: there may be a hundred thousand."""
        whole: dict[int, set[int]] = {}
        pieces: dict[tuple[int, int], list[tuple[int, int]]] = {}
        alike: dict[str, list[str]] = {}
        skip = len(self._folder) + 1
        for path in paths:
            # Of nearly all, only the last eight digits are new: <timeline>/<24 digits>.
            alike.setdefault(path[skip:-8], []).append(path[-8:])
        for begin, ends in alike.items():
            found = _segments(begin, ends, self.segment_bytes)
            if found is not None:
                whole.setdefault(found[0], set()).update(found[1])
                continue
            for end in ends:
                self._note(f"{begin}{end}".split("/"), whole, pieces)
        return whole, pieces

    def _note(
        self, parts: list[str], whole: dict[int, set[int]], pieces: dict[tuple[int, int], list[tuple[int, int]]]
    ) -> tuple[int, int] | None:
        """Sort one listed path, relative to the folder, into segments and pieces; others (history files) are passed over.

        Return the segment it belongs to, if any.
        """
        name, partial, _ = parts[1].partition(layout.PARTIAL) if len(parts) > 1 else ("", "", "")
        try:
            timeline, number = parse_segment_name(name, self.segment_bytes)
        except ValueError:
            return None
        if len(parts) == 2 and not partial:
            whole.setdefault(timeline, set()).add(number)
        elif len(parts) == 3 and partial and (piece := layout.parse_piece(parts[2])):
            pieces.setdefault((timeline, number), []).append(piece)
        else:
            return None
        return timeline, number

    def _whole(
        self, whole: dict[int, set[int]], pieces: dict[tuple[int, int], list[tuple[int, int]]]
    ) -> dict[int, list[int]]:
        """Return the whole segments that were listed, ordered; `whole` grows by those that became whole meanwhile.

        No listing is a picture of one moment: a segment may have been stored whole just behind where it was reading, and its
        pieces dropped just before. So whatever would close a new, short hole is looked for by its name before it counts as one.
        """
        for timeline, numbers in whole.items():
            newest = max((number for on, number in pieces if on == timeline), default=0)
            for number in _in_holes(sorted(numbers), newest):
                if self._repository.store.exists(self._segment(timeline, number)):
                    numbers.add(number)
        return {timeline: sorted(numbers) for timeline, numbers in whole.items()}

    def segment_path(self, timeline: int, number: int) -> str:
        """Return where a whole segment is, or would be."""
        return self._segment(timeline, number)

    def piece_paths(self, timeline: int, number: int) -> list[str]:
        """Return where the pieces of a segment are that reach furthest from its start."""
        folder = f"{self._segment(timeline, number)}{layout.PARTIAL}"
        return [f"{folder}/{layout.piece(offset, end)}" for offset, end in chain(self._pieces(folder))]

    def history_path(self, timeline: int) -> str:
        """Return where a timeline's history file is, or would be."""
        return self._history(timeline)

    def _put(self, path: str, data: Buffer) -> int:
        try:
            return self._repository.put_body(path, data)
        except Conflict:
            if self._repository.read_body(path) != data:
                raise _differs(path) from None
            return 0

    def _segment(self, timeline: int, number: int) -> str:
        name = segment_name(timeline, number, self.segment_bytes)
        return f"{layout.timeline(self._folder, timeline)}/{name}"

    def _history(self, timeline: int) -> str:
        return f"{layout.timeline(self._folder, timeline)}/{history_name(timeline)}"

    def _timelines(self) -> list[int]:
        children = self._repository.store.children(self._folder)
        found = (parse_history_name(f"{child}.history") for child in children)
        return [timeline for timeline in found if timeline is not None]

    def _pieces(self, folder: str) -> list[tuple[int, int]]:
        found = (layout.parse_piece(name) for name in self._repository.store.children(folder))
        return [piece for piece in found if piece is not None]


def chain(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the fewest of the pieces [offset, end) that reach furthest from 0 without a hole, in order. Pure."""
    chosen: list[tuple[int, int]] = []
    best, reach = (0, 0), 0
    for piece in sorted(pieces):
        if piece[0] > reach and best[1] > reach:
            chosen.append(best)
            reach = best[1]
        if piece[0] > reach:
            return chosen
        best = max(best, piece, key=lambda p: p[1])
    return [*chosen, best] if best[1] > reach else chosen


def _in_holes(numbers: list[int], newest: int) -> Iterator[int]:
    """Yield the first few that lack in each of the newest holes of ordered numbers (not empty); there are pieces of `newest`."""
    runs = [*_runs(numbers), *([(newest, newest)] if newest > numbers[-1] else [])]
    for (_, last), (first, _) in list(pairwise(runs))[-_HOLES:]:
        yield from range(last + 1, min(first, last + 1 + _IN_A_HOLE))


def _reach(
    whole: dict[int, set[int]], pieces: dict[tuple[int, int], list[tuple[int, int]]]
) -> dict[tuple[int, int], int]:
    """Return how far the pieces of each segment that is not whole reach without a hole."""
    ends = {}
    for (timeline, number), ranges in pieces.items():
        reach = chain(ranges)
        if reach and number not in whole.get(timeline, ()):
            ends[timeline, number] = reach[-1][1]
    return ends


def _segments(begin: str, ends: list[str], segment_bytes: int) -> tuple[int, Iterable[int]] | None:
    """Return the timeline and the numbers of segments listed as `begin` and each of `ends`; None unless all are segments."""
    _, slash, digits = begin.partition("/")
    low = "".join(ends)
    if not slash or len(low) != 8 * len(ends) or low.strip(_DIGITS):
        return None  # strip leaves whatever is not a digit, and what is between
    numbers = struct.unpack(f">{len(ends)}I", bytes.fromhex(low))
    try:
        timeline, first = parse_segment_name(f"{digits}{0:08X}", segment_bytes)
        parse_segment_name(f"{digits}{max(numbers):08X}", segment_bytes)
    except ValueError:
        return None
    return timeline, map(first.__add__, numbers)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield ordered numbers, each once, as (first, last) of runs without a hole."""
    at = 0
    while at < len(numbers):
        # In a run, numbers and places grow alike; after a hole the numbers are ahead.
        behind = bisect_right(range(len(numbers)), numbers[at] - at, lo=at, key=lambda place: numbers[place] - place)
        yield numbers[at], numbers[behind - 1]
        at = behind


def ranges_of(inventory: WalInventory, segment_bytes: int) -> list[WalRange]:
    """Return an inventory as the fewest ranges. Pure."""
    ranges = [
        WalRange(timeline, segment_start(first, segment_bytes), segment_start(last + 1, segment_bytes))
        for timeline, numbers in inventory.segments.items()
        for first, last in _runs(numbers)
    ]
    for (timeline, number), end in inventory.partial_ends.items():
        start = segment_start(number, segment_bytes)
        ranges.append(WalRange(timeline, start, Lsn(start + end)))
    return merge_ranges(ranges)


def _differs(path: str) -> Corruption:
    return Corruption(
        f"The repository has other WAL under {path} than was given; what it has was not touched.",
        hint="Did two servers write the same timeline, or was one restored without a new timeline? Find out which is live.",
        code="wal-differs",
    )

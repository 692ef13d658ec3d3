"""Read one line of descent's WAL for its meaning: fetch a few segments at a time to a scratch folder, and dump those."""

from __future__ import annotations

import mmap
import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from bot.errors import Corruption
from bot.model.timelines import Lineage, Stretch
from bot.model.wal import Lsn, WalRange, segment_name, segment_number, segment_start
from bot.model.wal_pages import BrokenWal, Pages, Placed, first_start, walk
from bot.postgres.binaries import Binaries
from bot.postgres.wal_records import EVENT_RMGRS, Record, WalEvent, event
from bot.postgres.waldump import NoRecord, Waldump

SCRATCH_BYTES = 256 * 1024 * 1024


class SegmentSource(Protocol):
    """Where WAL comes from: the spool first, then the repositories."""

    @property
    def segment_bytes(self) -> int:
        """The cluster's segment size."""
        ...

    def prefix(self, timeline: int, number: int) -> bytes | None:
        """Return the longest known beginning of a segment, or None."""
        ...

    def ranges(self) -> list[WalRange]:
        """Return what is readable without a hole."""
        ...


class WalReader:
    """The WAL along `line`, read through at most SCRATCH_BYTES of private copies in `scratch` (an empty folder of the caller's).

    Segments are padded with zeros to their full size and named as of one timeline, so that a fork is no seam.
    """

    def __init__(
        self,
        binaries: Binaries,
        source: SegmentSource,
        line: Lineage,
        scratch: Path,
        *,
        ranges: Sequence[WalRange] | None = None,
        scratch_bytes: int = SCRATCH_BYTES,
    ) -> None:
        self.line = line
        self._source = source
        self._scratch = scratch
        self._binaries = binaries
        self._most = max(2, scratch_bytes // source.segment_bytes)
        self._held: OrderedDict[int, Path] = OrderedDict()
        self._view: tuple[int, mmap.mmap] | None = None
        self._pages: Pages | None = None
        self.segment_bytes = source.segment_bytes
        self.stretches: list[Stretch] = line.stretches(
            ranges if ranges is not None else source.ranges(), source.segment_bytes
        )

    @property
    def pages(self) -> Pages:
        """The sizes this WAL is laid out with, read from the first page of its last segment, which is mostly read anyway."""
        if self._pages is None:
            self._hold([segment_number(Lsn(self.stretches[-1].end - 1), self.segment_bytes)])
            with next(iter(self._held.values())).open("rb") as file:
                page_bytes = struct.unpack("<I", file.read(40)[36:40])[0]
            self._pages = Pages(self.segment_bytes, page_bytes or 8192)
        return self._pages

    def events(self, start: Lsn, end: Lsn) -> Iterator[WalEvent]:
        """Yield what matters to a recovery among the records from `start` that end at or before `end`, in WAL order. Streamed.

        Raises:
            Corruption: `wal-damaged`, or `wal-missing`: a segment is gone since the ranges were listed.
        """
        for record in self.records(start, end, rmgrs=EVENT_RMGRS):
            if (found := event(record, self.pages)) is not None:
                yield found

    def records(self, start: Lsn, end: Lsn, *, rmgrs: Iterable[str] = (), xid: int | None = None) -> Iterator[Record]:
        """Yield pg_waldump's records from `start` that end at or before `end`; see `events`."""
        pages = self.pages  # before the loop: reading it may push other segments out of the scratch folder
        wanted, seen, position, width = tuple(rmgrs), Lsn(max(start - 1, 0)), start, self._most
        while position < end:
            first = segment_number(position, self.segment_bytes)
            last = min(segment_number(Lsn(end - 1), self.segment_bytes), first + width - 1)
            self._hold(range(first, last + 1))
            stop = min(end, segment_start(last + 1, self.segment_bytes))
            dump = Waldump(self._binaries, self._scratch, self.line.timeline, pages)
            for record in self._dump(dump, position, stop, wanted, xid):
                if record.lsn > seen:
                    seen = record.lsn
                    yield record
            if stop == end:
                return
            overlap = self._overlap(first, last)
            width = width * 2 if overlap == first else self._most
            position = max(position, segment_start(overlap, self.segment_bytes))

    def record_from(self, lsn: Lsn, end: Lsn) -> Placed | None:
        """Return the first whole record that starts at or after `lsn` and ends at or before `end`, or None."""
        return next((placed for placed in self._placed(lsn, end) if placed.lsn >= lsn), None)

    def end_of_records(self, start: Lsn, end: Lsn) -> Lsn:
        """Return the end of the last whole record before `end`, at least `start`, which is a record's start or end."""
        floor = start
        number = segment_number(Lsn(max(end - 1, start)), self.segment_bytes)
        last = max(
            (placed.end for placed in self._placed(segment_start(number, self.segment_bytes), end)), default=None
        )
        return max(floor, last) if last is not None else floor

    def _placed(self, lsn: Lsn, end: Lsn) -> Iterator[Placed]:
        """Yield the records from the beginning of the segment of `lsn`, or of the nearest older one in which one starts."""
        stretch = next((s for s in self.stretches if s.start <= lsn <= s.end), None)
        if stretch is None or lsn >= end:
            return
        number = segment_number(lsn, self.segment_bytes)
        lowest = segment_number(stretch.start, self.segment_bytes)
        try:
            start = first_start(self._read, self.pages, segment_start(number, self.segment_bytes))
            while start > lsn and number > lowest:
                number -= 1
                start = first_start(self._read, self.pages, segment_start(number, self.segment_bytes))
            yield from walk(self._read, self.pages, start, end)
        except BrokenWal as broken:
            raise _damaged(str(broken)) from None

    def _dump(self, dump: Waldump, start: Lsn, stop: Lsn, rmgrs: tuple[str, ...], xid: int | None) -> Iterator[Record]:
        try:
            yield from dump.records(start, stop, rmgrs=rmgrs, xid=xid)
        except NoRecord:
            found = self.record_from(start, stop)
            if found is None:
                return
            if found.lsn <= start:
                raise _damaged(f"pg_waldump finds no record at {found.lsn}") from None
            self._hold(range(segment_number(found.lsn, self.segment_bytes), -(-stop // self.segment_bytes)))
            yield from dump.records(found.lsn, stop, rmgrs=rmgrs, xid=xid)

    def _overlap(self, first: int, last: int) -> int:
        """Return the youngest segment up to `last` in which a record starts: reading goes on there."""
        for number in range(last, first, -1):
            start = segment_start(number, self.segment_bytes)
            if first_start(self._read, self.pages, start) < self.pages.next_segment(start):
                return number
        return first

    def _read(self, lsn: Lsn, size: int) -> bytes:
        number, offset = divmod(lsn, self.segment_bytes)
        if self._view is None or self._view[0] != number:
            self._hold([number])
            with self._held[number].open("rb") as file:
                self._view = number, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._view[1][offset : offset + size]

    def _hold(self, numbers: Iterable[int]) -> None:
        """Have these segments in the scratch folder, and no more than fit."""
        wanted = list(numbers)
        missing = [number for number in wanted if number not in self._held]
        for number in wanted:
            if number in self._held:
                self._held.move_to_end(number)
        while self._held and len(self._held) + len(missing) > max(self._most, len(wanted)):
            self._held.popitem(last=False)[1].unlink()
        if not missing:
            return
        with ThreadPoolExecutor(2, "wal-fetch") as pool:
            for number, path in zip(missing, pool.map(self._fetch, missing), strict=True):
                self._held[number] = path

    def _fetch(self, number: int) -> Path:
        timeline = self.line.file_timeline(number, self.segment_bytes)
        data = self._source.prefix(timeline, number)
        name = segment_name(timeline, number, self.segment_bytes)
        if data is None:
            raise Corruption(
                f"WAL segment {name} was listed and is gone.", hint="Look at `pitstop wal status`.", code="wal-missing"
            )
        path = self._scratch / segment_name(self.line.timeline, number, self.segment_bytes)
        with path.open("wb") as file:
            file.write(data)
            file.truncate(self.segment_bytes)
        return path


def _damaged(why: str) -> Corruption:
    return Corruption(
        f"The WAL is damaged: {why}.",
        hint="Does another repository hold this segment? Take a base backup now: `pitstop backup base CLUSTER`.",
        code="wal-damaged",
    )

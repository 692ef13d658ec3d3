"""WAL as bytes on pages: where a record ends, where the next one starts. Source: PostgreSQL's xlog_internal.h and xlogrecord.h."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bot.model.wal import DEFAULT_SEGMENT_BYTES, Lsn, segment_number, segment_start

SHORT_HEADER_BYTES = 24
LONG_HEADER_BYTES = 40
RECORD_HEADER_BYTES = 24
_CONTINUES = 0x0001
_OVERWRITES = 0x0008
_RMGR_XLOG, _SWITCH = 0, 0x40

ReadBytes = Callable[[Lsn, int], bytes]
"""Return that many bytes of WAL from a position; they lie within one page."""


class BrokenWal(ValueError):
    """What stands at `lsn` is no record, although WAL is said to go on; an edge turns it into Corruption."""

    def __init__(self, lsn: Lsn, why: str) -> None:
        super().__init__(f"{why} at {lsn}")
        self.lsn = lsn


@dataclass(frozen=True, slots=True)
class Placed:
    """A whole record: it starts at `lsn`, and `end` is the first byte after it (after a switch, the next segment)."""

    lsn: Lsn
    end: Lsn


@dataclass(frozen=True, slots=True)
class Pages:
    """The sizes a cluster's WAL is laid out with, in bytes."""

    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    page_bytes: int = 8192

    def header_bytes(self, page: Lsn) -> int:
        """Return the size of the header of the page that starts at `page`."""
        return LONG_HEADER_BYTES if page % self.segment_bytes == 0 else SHORT_HEADER_BYTES

    def page_of(self, lsn: Lsn) -> Lsn:
        """Return the start of the page that holds the byte at `lsn`."""
        return Lsn(lsn - lsn % self.page_bytes)

    def after_header(self, lsn: Lsn) -> Lsn:
        """Return where a record can start at or after `lsn`: past the page's header when `lsn` is within it."""
        page = self.page_of(lsn)
        return max(lsn, Lsn(page + self.header_bytes(page)))

    def advance(self, lsn: Lsn, record_bytes: int) -> Lsn:
        """Return the position `record_bytes` of record data after `lsn`, page headers skipped; it may be a page's very end."""
        position, left = self.after_header(lsn), record_bytes
        while left > (room := self.page_of(position) + self.page_bytes - position):
            left -= room
            position = self.after_header(Lsn(position + room))
        return Lsn(position + left)

    def record_end(self, lsn: Lsn, total_bytes: int) -> Lsn:
        """Return the first byte after a record of `total_bytes` that starts at `lsn`; PostgreSQL pads to 8."""
        return self.advance(lsn, _aligned(total_bytes))

    def next_segment(self, lsn: Lsn) -> Lsn:
        """Return the start of the segment after the one that holds `lsn`."""
        return segment_start(segment_number(lsn, self.segment_bytes) + 1, self.segment_bytes)


def first_start(read: ReadBytes, pages: Pages, segment: Lsn) -> Lsn:
    """Return where the first record of the segment at `segment` starts, past what is left of an older record.

    That may lie in a later segment. Raises BrokenWal when there is no page header.
    """
    info, left = _page_header(read, segment)
    return (
        pages.advance(pages.after_header(segment), _aligned(left)) if info & _CONTINUES else pages.after_header(segment)
    )


def walk(read: ReadBytes, pages: Pages, start: Lsn, end: Lsn) -> Iterator[Placed]:
    """Yield every record from `start`, where one starts, that ends at or before `end`; stop before one that is cut off there.

    Checks lengths only, no checksums. Raises BrokenWal where no record can be.
    """
    position = pages.after_header(start)
    while position + 4 <= end:
        total = struct.unpack("<I", read(position, 4))[0]
        if total < RECORD_HEADER_BYTES:
            raise BrokenWal(position, "no record")
        stop = pages.record_end(position, total)
        overwritten = _overwritten_at(read, pages, position, min(stop, end))
        if overwritten is not None:
            position = pages.after_header(overwritten)
            continue
        if stop > end:
            return
        stop = pages.next_segment(position) if _is_switch(read, pages, position) else stop
        if stop > end:
            return
        yield Placed(position, stop)
        position = pages.after_header(stop)


def _overwritten_at(read: ReadBytes, pages: Pages, start: Lsn, stop: Lsn) -> Lsn | None:
    """Return the page where a crash cut off the record that starts at `start`, and newer WAL begins; None normally."""
    page = Lsn(pages.page_of(start) + pages.page_bytes)
    while page + SHORT_HEADER_BYTES <= stop:
        if _page_header(read, page)[0] & _OVERWRITES:
            return page
        page = Lsn(page + pages.page_bytes)
    return None


def _is_switch(read: ReadBytes, pages: Pages, lsn: Lsn) -> bool:
    info, rmgr = (read(Lsn(pages.advance(lsn, offset + 1) - 1), 1)[0] for offset in (16, 17))
    return rmgr == _RMGR_XLOG and info & 0xF0 == _SWITCH


def _page_header(read: ReadBytes, page: Lsn) -> tuple[int, int]:
    """Return a page's flags and the bytes left of a record that began before it."""
    magic, info = struct.unpack("<HH", read(page, 4))
    if magic == 0:
        raise BrokenWal(page, "no page")
    return info, struct.unpack("<I", read(Lsn(page + 16), 4))[0]


def _aligned(size: int) -> int:
    return (size + 7) & ~7

"""The long page header a WAL segment begins with: whose it is, and which one. Pure.

XLogLongPageHeaderData in PostgreSQL's src/include/access/xlog_internal.h, the same layout in 14 to 18.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bot.errors import Corruption
from bot.model.wal import Lsn, segment_name

_HEADER = struct.Struct("<HHIQI4xQII")
_LONG = 0x0002


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """`address` is the LSN of the segment's first byte."""

    timeline: int
    address: int
    system_id: str
    segment_bytes: int


def read_header(data: bytes | memoryview) -> SegmentHeader | None:
    """Return a segment's header, or None when its first page has none."""
    if len(data) < _HEADER.size:
        return None
    _magic, info, timeline, address, _rest, system_id, segment_bytes, _block = _HEADER.unpack_from(data)
    return SegmentHeader(timeline, address, str(system_id), segment_bytes) if info & _LONG else None


def check_header(data: bytes, system_id: str, timeline: int, number: int, segment_bytes: int) -> None:
    """Accept a whole segment only when its first page says that it is the one its name says, of this cluster. Pure.

    The page's timeline may be an ancestor's: a child's first segment begins with its parent's bytes.

    Raises:
        Corruption: `foreign-wal`.
    """
    header = read_header(data)
    right = (
        header is not None
        and len(data) == segment_bytes == header.segment_bytes
        and header.system_id == system_id
        and header.address == number * segment_bytes
        and header.timeline <= timeline
    )
    if not right:
        name = segment_name(timeline, number, segment_bytes)
        raise Corruption(
            f"{name} is not that segment of this cluster: {_what(data, header, system_id, segment_bytes)}.",
            hint="Does another server's archive_command push into this spool?",
            code="foreign-wal",
        )


def _what(data: bytes, header: SegmentHeader | None, system_id: str, segment_bytes: int) -> str:
    """Say what is wrong with a refused segment."""
    if len(data) != segment_bytes:
        return f"it has {len(data)} bytes instead of {segment_bytes}"
    if header is None:
        return "it does not begin like WAL"
    if header.system_id != system_id:
        return f"its system identifier is {header.system_id}, not {system_id}"
    return f"its first page is of timeline {header.timeline} at {Lsn(header.address)}"

"""A cluster's WAL in a repository: whole segments, partial pieces of the current ones, and history files."""

from __future__ import annotations

from dataclasses import dataclass

from bot.model.wal import WalRange


@dataclass(frozen=True, slots=True)
class WalInventory:
    """What a listing shows, without reading: whole segments per timeline (ordered numbers), and how far the pieces of other
    segments reach without a hole: bytes from the segment's start, keyed by (timeline, number)."""

    segments: dict[int, list[int]]
    partial_ends: dict[tuple[int, int], int]


class WalArchive:
    """Segments are written once. Writing the same bytes again changes nothing; other bytes are Corruption `wal-differs`."""

    segment_bytes: int

    def put_segment(self, timeline: int, number: int, data: bytes | bytearray | memoryview) -> int:
        """Store a whole segment durably and return its size as stored (0 when it was there).

        Raises:
            ValueError: `data` is not exactly `segment_bytes` long.
            Corruption: `wal-differs`.
        """
        raise NotImplementedError

    def put_piece(self, timeline: int, number: int, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Store bytes [offset, offset+len) of a segment that is not complete yet; returns the size as stored (0: was there)."""
        raise NotImplementedError

    def put_history(self, timeline: int, data: bytes) -> None:
        """Store a timeline's history file."""
        raise NotImplementedError

    def read_segment(self, timeline: int, number: int) -> bytes | None:
        """Return a whole segment, or None when it is not here as a whole (see `read_pieces`)."""
        raise NotImplementedError

    def read_pieces(self, timeline: int, number: int) -> bytes | None:
        """Return the longest run of bytes from the segment's start that its pieces make up, or None when there is none.

        Raises:
            Corruption: a piece is damaged, or two that overlap differ.
        """
        raise NotImplementedError

    def drop_pieces(self, timeline: int, number: int) -> int:
        """Delete a segment's pieces if the whole segment is here; return how many."""
        raise NotImplementedError

    def histories(self) -> dict[int, bytes]:
        """Return every history file, by the timeline it tells of."""
        raise NotImplementedError

    def inventory(self) -> WalInventory:
        """List what is here."""
        raise NotImplementedError

    def ranges(self, segment_bytes: int | None = None) -> list[WalRange]:
        """Return the WAL that is here without holes, as the fewest ranges."""
        raise NotImplementedError

"""The spool in WAL's own words: timelines, segment numbers and LSNs over the names of `bot.host.spool`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bot.errors import Failed, Unavailable
from bot.host.files import fsync_dir
from bot.host.spool import Spool
from bot.model.wal import Lsn, history_name, parse_history_name, parse_segment_name, segment_name, segment_start

__all__ = ["Spool", "SegmentWriter", "SpoolContent", "content", "histories", "spool_of"]


@dataclass(frozen=True, slots=True)
class SpoolContent:
    """What a spool holds: whole segments by timeline, and the bytes received of others, by (timeline, number)."""

    segments: dict[int, set[int]]
    partials: dict[tuple[int, int], int]


def spool_of(root: Path, cluster: str) -> Spool:
    """Return the spool of one cluster below the configured folder."""
    return Spool(root / cluster)


def content(spool: Spool, segment_bytes: int) -> SpoolContent:
    """List a spool. A file that does not belong to segments of this size is left out."""
    segments: dict[int, set[int]] = {}
    for name in spool.names():
        parsed = _parsed(name, segment_bytes)
        if parsed is not None:
            segments.setdefault(parsed[0], set()).add(parsed[1])
    partials = {}
    for name, size in spool.partials().items():
        parsed = _parsed(name, segment_bytes)
        if parsed is not None:
            partials[parsed] = size
    return SpoolContent(segments, partials)


def histories(spool: Spool) -> dict[int, bytes]:
    """Return the history files in a spool, by the timeline each tells of."""
    found = {}
    for name in spool.names():
        timeline = parse_history_name(name)
        data = spool.read(name) if timeline is not None else None
        if timeline is not None and data is not None:
            found[timeline] = data
    return found


def put_history(spool: Spool, timeline: int, data: bytes) -> None:
    """Store a history file durably."""
    spool.put(history_name(timeline), data)


class SegmentWriter:
    """Writes one timeline's WAL into the spool, in order, starting at a segment's first byte.

    Bytes that are there already from before a crash are written again in place, never cut off: they are the same, and if
    the server is gone they are all there is. `position` is what was written, `flushed` what would survive a power cut.
    Not thread-safe; other threads read `flushed` and the files.
    """

    def __init__(self, spool: Spool, segment_bytes: int, timeline: int, start: Lsn) -> None:
        if start % segment_bytes:
            raise ValueError(f"streaming starts at a segment's first byte, not at {start}")
        self._spool = spool
        self._segment_bytes = segment_bytes
        self.timeline = timeline
        self.position = start
        self.flushed = start
        self._fd: int | None = None
        self._number = int(start) // segment_bytes
        self._dirty = False

    def write(self, start: Lsn, data: memoryview) -> int:
        """Write the next bytes; return how many segments they completed (each one durable).

        Raises:
            Failed: they do not follow what was written last.
            Unavailable: the spool's disk is full or broken.
        """
        if start != self.position:
            raise Failed(
                f"The server sent WAL from {start} where {self.position} was due.", code="replication-protocol"
            )
        completed = 0
        try:
            while data:
                offset = int(self.position) % self._segment_bytes
                piece = data[: self._segment_bytes - offset]
                self._write_at(offset, piece)
                self.position = Lsn(self.position + len(piece))
                data = data[len(piece) :]
                if offset + len(piece) == self._segment_bytes:
                    self._complete()
                    completed += 1
        except OSError as error:
            raise _disk(self._spool, error) from None
        return completed

    def flush(self) -> Lsn:
        """Make everything written so far durable; return `flushed`.

        Raises:
            Unavailable: the spool's disk is full or broken; after a failed sync nothing may be assumed, so start anew.
        """
        if self._dirty and self._fd is not None:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                raise _disk(self._spool, error) from None
            self._dirty = False
        self.flushed = self.position
        return self.flushed

    def close(self) -> None:
        """Close the current file; what was not flushed may be lost."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def segment(self) -> str:
        """The name of the segment that `position` lies in."""
        return segment_name(self.timeline, self._number, self._segment_bytes)

    def _write_at(self, offset: int, piece: memoryview) -> None:
        if self._fd is None:
            self._fd = os.open(
                self._spool.partial_path(self.segment), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
            fsync_dir(self._spool.wal)
        while piece:
            written = os.pwrite(self._fd, piece, offset)
            offset, piece = offset + written, piece[written:]
        self._dirty = True

    def _complete(self) -> None:
        if self._fd is not None:
            os.fdatasync(self._fd)
        self.close()
        self._spool.complete(self.segment)
        self._dirty = False
        self._number += 1
        self.flushed = segment_start(self._number, self._segment_bytes)


def _parsed(name: str, segment_bytes: int) -> tuple[int, int] | None:
    try:
        return parse_segment_name(name, segment_bytes)
    except ValueError:
        return None


def _disk(spool: Spool, error: OSError) -> Unavailable:
    return Unavailable(
        f"The spool {spool.directory} cannot be written: {error.strerror}.",
        hint="Is its disk full? WAL waits on the server meanwhile, held by the slot.",
        code="spool-disk",
    )

"""Where recovery reads WAL from: the spool first, then the repositories."""

from __future__ import annotations

from collections.abc import Sequence

from bot.model.wal import WalRange
from bot.repository.wal import WalArchive
from jobs.wal.spool import Spool


class WalSource:
    """One cluster's WAL, wherever it is. Safe to use from several threads.

    `spool` is None on a host without one. `segment_bytes` comes from the backup's summary.
    """

    def __init__(self, spool: Spool | None, archives: Sequence[WalArchive], segment_bytes: int) -> None:
        self._spool = spool
        self._archives = tuple(archives)
        self.segment_bytes = segment_bytes

    def segment(self, timeline: int, number: int) -> bytes | None:
        """Return a whole segment, or None when no place has it whole.

        Raises:
            Unavailable: a place could not be asked, so absence is not proven.
            Corruption: the only copies are damaged.
        """
        raise NotImplementedError

    def prefix(self, timeline: int, number: int) -> bytes | None:
        """Return the longest known beginning of a segment (a whole one included), or None when nothing of it is known."""
        raise NotImplementedError

    def histories(self) -> dict[int, bytes]:
        """Return the content of every known timeline history file."""
        raise NotImplementedError

    def ranges(self) -> list[WalRange]:
        """Return what is readable without a hole, ordered by timeline and start."""
        raise NotImplementedError

"""Where recovery reads WAL from: the spool first, then the repositories."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import Corruption, PitstopError, Unavailable
from bot.host.spool import Spool
from bot.model.wal import Lsn, WalRange, merge_ranges, segment_name, segment_start
from bot.repository.wal import WalArchive
from jobs.wal.spool import content, histories


class WalSource:
    """One cluster's WAL, wherever it is. Safe to use from several threads.

    `spool` is None on a host without one. `segment_bytes` comes from the backup's summary.
    """

    def __init__(self, spool: Spool | None, archives: Sequence[WalArchive], segment_bytes: int) -> None:
        self._spool = spool
        self._archives = tuple(archives)
        self.segment_bytes = segment_bytes

    def segment(self, timeline: int, number: int) -> bytes | None:
        """Return a whole segment, or None when every place was asked and none has it whole.

        Raises:
            Unavailable: a place could not be asked, so absence is not proven.
            Corruption: the only copies are damaged.
        """
        if self._spool is not None:
            data = self._spool.read(self._name(timeline, number))
            if data is not None and len(data) == self.segment_bytes:
                return data
        problems: list[PitstopError] = []
        for archive in self._archives:
            try:
                data = archive.read_segment(timeline, number)
            except (Corruption, Unavailable) as error:
                problems.append(error)
                continue
            if data is not None:
                return data
        if problems:
            raise problems[0]
        return None

    def prefix(self, timeline: int, number: int) -> bytes | None:
        """Return the longest known beginning of a segment (a whole one included), or None when nothing of it is known.

        Raises:
            Unavailable, Corruption: as `segment`.
        """
        whole = self.segment(timeline, number)
        if whole is not None:
            return whole
        found = [archive.read_pieces(timeline, number) for archive in self._archives]
        if self._spool is not None:
            found.append(self._spool.read_partial(self._name(timeline, number)))
            # What was received meanwhile may have become whole and left the list above too early.
            whole = self.segment(timeline, number)
        return whole or max((data for data in found if data), key=len, default=None)

    def histories(self) -> dict[int, bytes]:
        """Return the content of every known timeline history file."""
        found: dict[int, bytes] = histories(self._spool) if self._spool is not None else {}
        for archive in self._archives:
            for timeline, data in archive.histories().items():
                found.setdefault(timeline, data)
        return found

    def ranges(self) -> list[WalRange]:
        """Return what is readable without a hole, ordered by timeline and start; the last of a timeline may end mid-segment."""
        # The spool is listed first: what leaves it meanwhile is in a repository by then.
        found = self._spooled()
        for archive in self._archives:
            found.extend(archive.ranges(self.segment_bytes))
        return merge_ranges(found)

    def is_absent(self, timeline: int, number: int) -> bool:
        """Say whether a complete listing of every place proves that nothing of a segment, nor of any later one, exists.

        Raises:
            Unavailable: a place could not be listed.
        """
        start = segment_start(number, self.segment_bytes)
        return all(piece.timeline != timeline or piece.end <= start for piece in self.ranges())

    def _spooled(self) -> list[WalRange]:
        if self._spool is None:
            return []
        held = content(self._spool, self.segment_bytes)
        whole = [
            WalRange(timeline, self._start(number), self._start(number + 1))
            for timeline, numbers in held.segments.items()
            for number in numbers
        ]
        partial = [
            WalRange(timeline, self._start(number), Lsn(self._start(number) + size))
            for (timeline, number), size in held.partials.items()
        ]
        return whole + partial

    def _start(self, number: int) -> Lsn:
        return segment_start(number, self.segment_bytes)

    def _name(self, timeline: int, number: int) -> str:
        return segment_name(timeline, number, self.segment_bytes)

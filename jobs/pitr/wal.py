"""The WAL a recovery is served: exactly the line of descent to its target, and where the target is `latest`, nothing past it."""

from __future__ import annotations

from bot.errors import Corruption
from bot.host.accounts import Account
from bot.model.targets import ResolvedTarget
from bot.model.wal import (
    Lsn,
    history_name,
    parse_history_name,
    parse_segment_name,
    segment_name,
    segment_number,
    segment_start,
)
from bot.postgres.isolated import system_python
from bot.postgres.isolated_folder import ServerFolder
from bot.postgres.wal_service import WalService
from jobs.pitr.stock import Stock
from jobs.pitr.work import Work


def serve_wal(work: Work, folder: ServerFolder, account: Account) -> WalService:
    """Serve WAL beside the server's socket until closed; the next segments are fetched ahead of replay."""
    served = ServedWal(work.stock, work.steps.recovery.target)
    return WalService(
        folder.socket_dir(account), served.fetch, segment_bytes=work.stock.segment_bytes, python=system_python()
    )


class ServedWal:
    """Answers a recovering server's questions by file name. Safe to use from several threads."""

    def __init__(self, stock: Stock, target: ResolvedTarget) -> None:
        self._stock, self._target = stock, target

    def fetch(self, name: str) -> bytes | None:
        """Return a file's content, segments padded to their size; None where it is certain that the server must do without.

        A segment is served from the one timeline that the line of descent reads it from: the file of that number on another
        timeline may hold what was written past a fork. `latest` ends at its LSN: zeros follow it, and no segment.

        Raises:
            Corruption: `wal-missing`, a segment on the way to the target is not here any more; or it is damaged.
            Unavailable: a place could not be asked.
            ValueError: `name` is no file of the WAL.
        """
        timeline = parse_history_name(name)
        if timeline is not None:
            return self._stock.histories.get(timeline)
        timeline, number = parse_segment_name(name, self._stock.segment_bytes)
        if timeline != self._stock.line.file_timeline(number, self._stock.segment_bytes):
            return None
        size = self._served_bytes(number)
        if size == 0:
            return None
        data = self._stock.source.prefix(timeline, number)
        if data is None and number > segment_number(self._target.lsn, self._stock.segment_bytes):
            return None  # the server reads ahead of its target; should it need this after all, it ends in an error, never early
        if data is None:
            raise self._missing(timeline, number)
        return data[:size].ljust(self._stock.segment_bytes, b"\0")

    def _served_bytes(self, number: int) -> int:
        """Return how much of a segment is served, from its start."""
        size = self._stock.segment_bytes
        if self._target.record_exists or number < segment_number(Lsn(self._target.lsn - 1), size):
            return size
        return max(0, self._target.lsn - segment_start(number, size))

    def _missing(self, timeline: int, number: int) -> Corruption:
        name = segment_name(timeline, number, self._stock.segment_bytes)
        lost = timeline > 1 and timeline not in self._stock.histories
        history = f" So is {history_name(timeline)}, which says what timeline {timeline} goes on from." if lost else ""
        return Corruption(
            f"The WAL segment {name} is missing, on the way to the target.{history}",
            hint="Was it removed since the plan was made? `pitstop wal status` shows what is there.",
            code="wal-missing",
        )

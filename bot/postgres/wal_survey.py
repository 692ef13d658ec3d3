"""Survey the WAL a recovery will replay: what it demands of the server, and what it would do to the host."""

from __future__ import annotations

from dataclasses import dataclass

from bot.model.wal import Lsn
from bot.postgres.ground import Wal
from bot.postgres.wal_records import ParameterChange, TablespaceCreate, TransactionEnd


@dataclass(frozen=True, slots=True)
class Survey:
    """What a range of WAL holds. `minimums` are the highest settings the source ran with, as postgresql.conf names them."""

    transactions: int
    minimums: dict[str, int]
    tablespaces: tuple[TablespaceCreate, ...]


_SETTINGS = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}


def survey(wal: Wal, start: Lsn, end: Lsn) -> Survey:
    """Read the WAL from `start` to `end` once. Slow: about 150 MB a second.

    Raises:
        Corruption: the WAL is damaged.
    """
    transactions, minimums, tablespaces = 0, dict[str, int](), list[TablespaceCreate]()
    for event in wal.events(start, end):
        if isinstance(event, TransactionEnd):
            transactions += not event.commit.aborted
        elif isinstance(event, TablespaceCreate):
            tablespaces.append(event)
        elif isinstance(event, ParameterChange):
            _raise_to(minimums, event)
    return Survey(transactions, minimums, tuple(tablespaces))


def _raise_to(minimums: dict[str, int], change: ParameterChange) -> None:
    for name, value in change.settings.items():
        setting = _SETTINGS.get(name)
        if setting is not None:
            minimums[setting] = max(minimums.get(setting, 0), value)

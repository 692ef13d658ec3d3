"""A replication connection over `psycopg.pq`: never blocks in libpq, so that other threads run while it waits."""

from __future__ import annotations

from bot.model.wal import Lsn


class ReplicationConnection:
    """A connection that speaks the streaming replication protocol. Not thread-safe."""

    @classmethod
    def open(cls, dsn: str, *, application_name: str = "pitstop", timeout_s: float = 10) -> ReplicationConnection:
        """Connect.

        Raises:
            Unavailable: the server does not answer, or has no WAL sender left.
            Usage: the DSN, the role's rights or pg_hba; the hint has the line to put right.
        """
        raise NotImplementedError

    def command(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run one replication command and return its rows as text."""
        raise NotImplementedError

    def identify(self) -> tuple[str, int, Lsn]:
        """Return (system identifier, timeline, flushed LSN)."""
        raise NotImplementedError

    def create_slot(self, name: str, *, temporary: bool = False) -> None:
        """Create a physical slot that keeps WAL from now on."""
        raise NotImplementedError

    def read_slot(self, name: str) -> tuple[Lsn, int] | None:
        """Return (restart LSN, timeline) of a physical slot; None when there is none or it keeps nothing (15 and later)."""
        raise NotImplementedError

    def timeline_history(self, timeline: int) -> tuple[str, bytes]:
        """Return (file name, content) of a timeline's history file."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection."""
        raise NotImplementedError

"""Restore points: a name in the WAL to come back to."""

from __future__ import annotations

from bot.model.wal import Lsn


def create_restore_point(observe_dsn: str, name: str) -> Lsn:
    """Write a restore point called `name` into the WAL and return its LSN (the end of its record).

    Raises:
        Usage: the name is empty or longer than 63 bytes, or the role may not (the hint has the GRANT).
        Unavailable: the server is away, or is a standby.
    """
    raise NotImplementedError

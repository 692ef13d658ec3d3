"""The WAL receiver: spool, ship, keep the slots; and the one source recovery reads WAL from."""

from __future__ import annotations

from jobs.wal.stream import run

__all__ = ["run"]

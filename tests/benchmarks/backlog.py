"""A backlog of WAL that is archived again and again: the same whole segments for each side, kept by a slot nobody moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bot.model.wal import DEFAULT_SEGMENT_BYTES, parse_segment_name, segment_name
from tests.benchmarks.ground import Cluster, Ground

SETTINGS = {"archive_mode": "on", "archive_command": "", "max_replication_slots": "10"}
_SEED = "seed"
_WRITE = "INSERT INTO events SELECT id, body FROM events LIMIT 20000"
_TICK_S = 0.02
_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Backlog:
    """Whole segments of a cluster, oldest first, by name."""

    cluster: Cluster
    names: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Their size."""
        return len(self.names) * DEFAULT_SEGMENT_BYTES

    def slot(self, name: str) -> None:
        """Put a slot, new or not, at the beginning of the backlog."""
        with _connected(self.cluster) as db:
            gone = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
            db.execute(gone, [name])
            db.execute("SELECT pg_copy_physical_replication_slot(%s, %s)", [_SEED, name])

    @contextmanager
    def archiving(self, command: str) -> Iterator[None]:
        """Let the server archive the backlog, and nothing else, with `command` while the block lasts."""
        for status in self._statuses.iterdir():
            if status.stem not in self.names:
                status.rename(status.with_suffix(".done"))
        for name in self.names:
            done = self._statuses / f"{name}.done"
            if done.exists():
                done.rename(done.with_suffix(".ready"))
        self._command(command)
        try:
            yield
        finally:
            self._command("")

    def archived(self) -> bool:
        """Say whether the server has all of it archived."""
        return all((self._statuses / f"{name}.done").exists() for name in self.names)

    @property
    def _statuses(self) -> Path:
        return self.cluster.server.data_directory / "pg_wal/archive_status"

    def _command(self, command: str) -> None:
        with _connected(self.cluster) as db:
            db.execute(f"ALTER SYSTEM SET archive_command = '{command}'".encode())
            db.execute("SELECT pg_reload_conf()")


def backlog(ground: Ground, segments: int) -> Backlog:
    """Make a cluster of its own and write that many segments of rows with JSON, as a busy table makes them."""
    cluster = ground.cluster_of_its_own("wal", 40, SETTINGS)
    with _connected(cluster) as db:
        db.execute("SELECT pg_switch_wal()")
        db.execute("CHECKPOINT")
        [(start,)] = db.execute(
            "SELECT lsn::text FROM pg_create_physical_replication_slot(%s, true)", [_SEED]
        ).fetchall()
        first = _segment(db, str(start))
        while _segment(db) < first + segments:
            db.execute(_WRITE)
    return Backlog(cluster, tuple(segment_name(1, first + n) for n in range(segments)))


def wait_until(done: Callable[[], bool]) -> None:
    """Wait until it is done.

    Raises:
        TimeoutError: it took a quarter of an hour.
    """
    deadline = time.monotonic() + _TIMEOUT_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("the backlog was not archived")
        time.sleep(_TICK_S)


def _segment(db: psycopg.Connection, at: str | None = None) -> int:
    [(name,)] = db.execute("SELECT pg_walfile_name(coalesce(%s::pg_lsn, pg_current_wal_insert_lsn()))", [at]).fetchall()
    return parse_segment_name(str(name))[1]


@contextmanager
def _connected(cluster: Cluster) -> Iterator[psycopg.Connection]:
    with psycopg.connect(cluster.server.dsn(), autocommit=True) as db:
        yield db

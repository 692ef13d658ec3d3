"""What the server itself has in pg_wal, and whether a repository has just the same bytes without a hole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bot.model.wal import DEFAULT_SEGMENT_BYTES, Lsn, WalRange, segment_name, segment_start
from bot.postgres.plain import PlainServer
from tests.jobs import Installation, wait_for
from tests.servers import execute

KEEP = {"wal_keep_size": "2GB", "max_wal_size": "2GB", "max_slot_wal_keep_size": "-1"}
"""Settings under which a server keeps all WAL of a test, to compare with."""


def flushed(server: PlainServer) -> Lsn:
    """Return how far the server's WAL is on its disk."""
    [(lsn,)] = execute(server, "SELECT pg_current_wal_flush_lsn()")
    return Lsn.parse(str(lsn))


def switch(server: PlainServer) -> None:
    """Write something and go on in a new segment."""
    execute(server, "SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000))")
    execute(server, "SELECT pg_switch_wal()")


def durable(here: Installation, name: str = "local", timeline: int = 1) -> Lsn:
    """Return how far a repository, read from its objects alone, holds a timeline's WAL without a hole; 0 before it is made."""
    if not any((here.home / "repository").glob("*/*/cluster.json")):
        return Lsn(0)
    ranges = [piece for piece in here.repository(name).wal.ranges() if piece.timeline == timeline]
    return ranges[-1].end if ranges else Lsn(0)


def wait_durable(here: Installation, lsn: Lsn, name: str = "local", timeline: int = 1, timeout_s: float = 60) -> None:
    """Wait until a repository holds WAL up to `lsn`."""
    wait_for(lambda: durable(here, name, timeline) >= lsn, timeout_s, f"WAL up to {lsn}")


def check_same(here: Installation, server: PlainServer, *, timeline: int = 1, until: Lsn | None = None) -> WalRange:
    """Hold all WAL that repository and spool have of a timeline to the server's own files, byte by byte; return its one range."""
    [piece] = [piece for piece in here.source().ranges() if piece.timeline == timeline]
    assert until is None or piece.end >= until, f"{piece} does not reach {until}"
    compare(here, server.data_directory / "pg_wal", piece)
    return piece


def compare(here: Installation, pg_wal: Path, piece: WalRange) -> None:
    """Compare a range with the files in a pg_wal folder, segment by segment."""
    size, source = DEFAULT_SEGMENT_BYTES, here.source()
    for number in range(piece.start // size, -(-piece.end // size)):
        wanted = (pg_wal / segment_name(piece.timeline, number)).read_bytes()
        end = min(size, piece.end - segment_start(number))
        got = source.prefix(piece.timeline, number)
        assert got is not None
        assert got[:end] == wanted[:end], f"segment {number} differs"


@contextmanager
def writing(server: PlainServer, *, pause_s: float = 0.0) -> Iterator[list[int]]:
    """Commit numbered rows into `log` while the block lasts, going on through restarts; the list holds the acknowledged ones."""
    stop, acknowledged = threading.Event(), list[int]()
    execute(server, "CREATE TABLE IF NOT EXISTS log (n bigint PRIMARY KEY, filler text)")

    def work() -> None:
        n = 0
        while not stop.is_set():
            try:
                with psycopg.connect(server.dsn(), autocommit=True) as connection:
                    while not stop.is_set():
                        n += 1
                        connection.execute("INSERT INTO log VALUES (%s, repeat(md5(%s::text), 100))", [n, n])
                        acknowledged.append(n)
                        stop.wait(pause_s)
            except psycopg.Error:
                stop.wait(0.1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        thread.join()

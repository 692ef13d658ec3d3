"""A base backup read off the Unix socket itself tells what libpq tells, and libpq finds its connection as it left it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bot.errors import PitstopError, Unavailable
from bot.postgres.base_backup import ArchiveStarted, Data, Finished, ManifestData, Started, stream_base_backup
from bot.postgres.plain import PlainServer
from bot.postgres.replication import ReplicationConnection, rows_of
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg


@dataclass(frozen=True)
class Reachable:
    """A server and the loopback address of its own on which it listens as well."""

    server: PlainServer
    address: str


@pytest.fixture
def reachable(plain_server: PlainServerFactory) -> Reachable:
    """A server of 15, reached over its Unix socket and over TCP with a password."""
    address = "127." + ".".join(str(byte % 254 + 1) for byte in os.urandom(3))
    server = plain_server(15, settings={"listen_addresses": address})
    execute(server, "ALTER USER postgres PASSWORD 'over-loopback'")
    hba = server.data_directory / "pg_hba.conf"
    hba.write_text("local all all trust\nlocal replication all trust\nhost replication all 127.0.0.1/8 scram-sha-256\n")
    execute(server, "SELECT pg_reload_conf()")
    return Reachable(server, address)


@pytest.fixture
def server(reachable: Reachable) -> PlainServer:
    """The same by its Unix socket."""
    return reachable.server


def test_both_ways_tell_the_same(reachable: Reachable) -> None:
    """Archives, tablespaces' places and the files' bytes are as many over TCP (libpq) and over the Unix socket."""
    over_tcp = make_conninfo(reachable.server.dsn(), host=reachable.address, password="over-loopback")
    told = []
    for dsn in (over_tcp, reachable.server.dsn()):
        with ReplicationConnection.open(dsn) as conn:
            events = list(_summed_up(conn))
            assert conn.identify()[1] == 1, "the connection can be used again"
        told.append(events)
    assert told[0] == told[1]
    assert [name for name, _ in told[0]] == ["started", "base", "finished"]


def _summed_up(conn: ReplicationConnection) -> Iterator[tuple[str, str]]:
    size = manifest = 0
    for event in stream_base_backup(conn, label="both ways"):
        if isinstance(event, Started):
            yield "started", str(event.timeline)
        elif isinstance(event, ArchiveStarted):
            yield event.name, str(event.location)
        elif isinstance(event, Data):
            size += sum(map(len, event.parts))
        elif isinstance(event, ManifestData):
            manifest += len(event.data)
        elif isinstance(event, Finished):
            assert size > 20_000_000
            assert manifest > 100_000
            yield "finished", str(event.timeline)


def test_an_error_is_libpqs(server: PlainServer) -> None:
    """A command that the server refuses is the same error either way, and the connection goes on."""
    with ReplicationConnection.open(server.dsn()) as conn:
        refusals = []
        for run in (
            lambda: conn.command("TIMELINE_HISTORY 77"),
            lambda: list(conn.bulk_results("TIMELINE_HISTORY 77")),
        ):
            with pytest.raises(PitstopError) as refused:
                run()
            refusals.append((refused.value.message, refused.value.reason_code))
        assert refusals[0] == refusals[1]
        assert [rows_of(r) for r in conn.bulk_results("SHOW data_checksums")] == [[("off",)]]


def test_what_follows_an_error_is_no_part_of_the_next_answer(server: PlainServer, server_home: Path) -> None:
    """The server's last word after a refusal arrives late: the next command, read off the socket, still gets its own answer."""
    name = ".s.PGSQL.5432"
    dsn = make_conninfo(server.dsn(), host=str(server_home))
    with late_last_word(server.socket_dir / name, server_home / name), ReplicationConnection.open(dsn) as conn:
        with pytest.raises(PitstopError):
            conn.command("TIMELINE_HISTORY 77")
        assert [rows_of(r) for r in conn.bulk_results("SHOW data_checksums")] == [[("off",)]]


@contextmanager
def late_last_word(real: Path, shown: Path) -> Iterator[None]:
    """Stand between one client and its server, and hold each ReadyForQuery back for a while."""

    def copy(source: socket.socket, sink: socket.socket, *, late: bool) -> None:
        while data := source.recv(65536):
            if late and data[-6:-1] == b"Z\0\0\0\5":
                sink.sendall(data[:-6])
                time.sleep(0.3)
                data = data[-6:]
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

    with socket.socket(socket.AF_UNIX) as door, socket.socket(socket.AF_UNIX) as server:
        door.bind(str(shown))
        door.listen(1)
        server.connect(str(real))

        def serve() -> None:
            client, _ = door.accept()
            with client:
                back = threading.Thread(target=copy, args=(server, client), kwargs={"late": True})
                back.start()
                copy(client, server, late=False)
                back.join(30)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(30)
        assert not thread.is_alive()


def test_a_server_that_goes_away_is_told(server: PlainServer) -> None:
    """A backup whose WAL sender is ended in the middle fails as unavailable; nothing hangs."""
    with ReplicationConnection.open(server.dsn()) as conn, pytest.raises(Unavailable):
        for event in stream_base_backup(conn, label="cut off"):
            if isinstance(event, ArchiveStarted):
                with psycopg.connect(server.dsn(), autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")


def test_values_of_every_kind(server: PlainServer) -> None:
    """Rows hold text and NULL as libpq's do; a value longer than the buffer is whole."""
    with ReplicationConnection.open(server.dsn()) as conn:
        for sql in ("IDENTIFY_SYSTEM", "SHOW server_version"):
            [expected] = [rows_of(result) for result in conn.results(sql)]
            assert [rows_of(result) for result in conn.bulk_results(sql)] == [expected]
    long = make_conninfo(server.dsn(), replication="database")
    with psycopg.connect(long, autocommit=True) as plain:
        conn = ReplicationConnection(plain.pgconn, long)
        [rows] = [rows_of(r) for r in conn.bulk_results("SELECT repeat('x', 700000), NULL, ''")]
        assert rows == [("x" * 700_000, None, "")]

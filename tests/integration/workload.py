"""Numbered transactions from several sessions, and an oracle of the order they committed in that does not use pg_waldump."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from bot.model.wal import Lsn
from bot.postgres.plain import PlainServer

SETTINGS = {
    "wal_level": "logical",
    "max_prepared_transactions": "10",
    "max_replication_slots": "8",
    "max_wal_senders": "8",
    "wal_keep_size": "1GB",
    "autovacuum": "off",
}
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SLOT = "oracle"


@dataclass(frozen=True, slots=True)
class Numbered:
    """One committed transaction as logical decoding reports it: `numbers` are the rows it inserted into `log`."""

    xid: int
    lsn: Lsn
    end: Lsn
    at: datetime
    numbers: tuple[int, ...]


def prepare_log(server: PlainServer) -> None:
    """Create the table `log` and the slot that remembers the order of commits from now on."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("CREATE TABLE log (n bigint PRIMARY KEY, xid bigint NOT NULL, kind text NOT NULL)")
        connection.execute("CREATE PUBLICATION oracle FOR TABLE log")
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [_SLOT])


def write_numbers(server: PlainServer, numbers: Iterable[int], *, sessions: int = 3) -> None:
    """Write each number in a transaction of its own, from `sessions` sessions at once: a mix of all kinds (`_write_one`)."""
    todo = list(numbers)
    failures: list[BaseException] = []

    def work(mine: list[int]) -> None:
        try:
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                for n in mine:
                    _write_one(connection, n)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(todo[i::sessions],)) for i in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _write_one(connection: psycopg.Connection, n: int) -> None:
    """Write `n`; its last digit says how: plain, rolled back, with subtransactions, prepared and committed or rolled back."""
    insert = "INSERT INTO log VALUES (%s, pg_current_xact_id()::text::bigint & 4294967295, %s)"
    kind = n % 10
    connection.execute("BEGIN")
    if kind == 3:
        connection.execute(insert, [n, "aborted"])
        connection.execute("ROLLBACK")
    elif kind == 5:
        connection.execute("SAVEPOINT a")
        connection.execute(insert, [n, "sub"])
        connection.execute("SAVEPOINT b")
        connection.execute(insert, [-n, "rolled back sub"])
        connection.execute("ROLLBACK TO b")
        connection.execute("COMMIT")
    elif kind in {7, 9}:
        connection.execute(insert, [n, "prepared"])
        connection.execute(f"PREPARE TRANSACTION 'p{n}'")
        connection.execute(f"{'COMMIT' if kind == 7 else 'ROLLBACK'} PREPARED 'p{n}'")
    else:
        connection.execute(insert, [n, "plain"])
        connection.execute("COMMIT")


def commit_order(server: PlainServer) -> list[Numbered]:
    """Return every commit to `log` in WAL order, from logical decoding."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT data FROM pg_logical_slot_peek_binary_changes(%s, NULL, NULL, 'proto_version', '1',"
            " 'publication_names', 'oracle')",
            [_SLOT],
        ).fetchall()
    found, xid, numbers = [], 0, list[int]()
    for (data,) in rows:
        if data[:1] == b"B":
            xid, numbers = struct.unpack(">I", data[17:21])[0], []
        elif data[:1] == b"I":
            numbers.append(_first_column(data))
        elif data[:1] == b"C":
            lsn, end, at = struct.unpack(">QQq", data[2:26])
            found.append(Numbered(xid, Lsn(lsn), Lsn(end), _EPOCH + timedelta(microseconds=at), tuple(numbers)))
    return found


def _first_column(data: bytes) -> int:
    """Return the first column, as text, of an Insert message of protocol version 1."""
    size = struct.unpack(">I", data[9:13])[0]
    return int(data[13 : 13 + size])


def numbers_before(order: Iterable[Numbered], lsn: Lsn) -> set[int]:
    """Return the numbers of all transactions whose commit record starts before `lsn`."""
    return {n for transaction in order if transaction.lsn < lsn for n in transaction.numbers}


def numbers_in(dsn: str) -> set[int]:
    """Return what a server's `log` holds."""
    with psycopg.connect(dsn) as connection:
        return {n for (n,) in connection.execute("SELECT n FROM log")}

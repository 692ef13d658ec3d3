"""The ledger's file: one way to open it, one kind of transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import NewType

from sqlite_utils import Database

from bot.errors import Unavailable, Usage

Tx = NewType("Tx", Database)
"""A database inside `Ledger.transaction()` or `Ledger.read()`; the table modules beside this file take one."""

SCHEMA_VERSION = 1
_NETWORK_FILESYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "fuse.sshfs",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
    "lustre",
}


class Ledger:
    """The ledger at `path`; a connection per operation, so that any thread or process may use it.

    Raises:
        Usage: the file is on a network file system, where SQLite's locks do not hold.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        filesystem = _filesystem(path.parent)
        if filesystem in _NETWORK_FILESYSTEMS:
            raise Usage(
                f"The ledger {path} is on {filesystem}.", hint="Put `ledger` on a local disk.", code="ledger-on-network"
            )

    def create(self) -> None:
        """Create the file and its tables where they are missing. Idempotent and safe among several processes."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.transaction() as tx:
            if "settings" in tx.table_names():
                return
            for statement in _statements(resources.files("bot.ledger").joinpath("schema.sql").read_text("utf-8")):
                tx.execute(statement)
            tx.execute("INSERT INTO settings (name, value) VALUES ('schema', ?)", [str(SCHEMA_VERSION)])
        self.path.chmod(0o600)

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Read and write under BEGIN IMMEDIATE, so that a read followed by a write never fails half way. No I/O inside.

        Raises:
            Unavailable: the ledger stayed locked for 5 s, or its disk is full or gone.
        """
        database = self._open()
        try:
            with _translated():
                database.conn.execute("BEGIN IMMEDIATE")
            try:
                yield Tx(database)
            except BaseException:
                database.conn.rollback()
                raise
            with _translated():
                database.conn.commit()
        finally:
            database.conn.close()

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Read one consistent state; never blocks a writer."""
        database = self._open()
        try:
            with _translated():
                database.conn.execute("BEGIN")
            yield Tx(database)
        finally:
            database.conn.rollback()
            database.conn.close()

    def _open(self) -> Database:
        with _translated():
            connection = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA busy_timeout=5000")
            return Database(connection)


def iso(at: datetime) -> str:
    """Return `at` the way the ledger stores times: sortable ISO 8601 UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def parse_iso(text: str | None) -> datetime | None:
    """Read what `iso` wrote; None stays None."""
    return datetime.fromisoformat(text) if text else None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(
            f"The ledger cannot be used: {error}.",
            hint="Is its disk full, or another process stuck in it?",
            code="ledger",
        ) from error


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _filesystem(folder: Path) -> str:
    best, kind = "", ""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8")
    except OSError:
        return ""
    target = str(folder.absolute())
    for line in mounts.splitlines():
        _, mount, fstype, *_ = line.split()
        if (target == mount or target.startswith(mount.rstrip("/") + "/")) and len(mount) > len(best):
            best, kind = mount, fstype
    return kind

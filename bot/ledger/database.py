"""The ledger's file: one way to open it, one kind of transaction."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from bot.errors import Corruption, Unavailable, Usage
from bot.ledger.turns import turns_at
from bot.model.audit import GENESIS

Values = Sequence[Any] | Mapping[str, Any]
"""What stands for the `?` or `:name` of a statement."""

SCHEMA_VERSION = 1
_OCTAL = re.compile(r"\\([0-7]{3})")
_NETWORK_FILESYSTEMS = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "davfs"),
    *(f"fuse.{name}" for name in ("sshfs", "glusterfs", "ceph", "rclone", "s3fs", "gcsfuse", "davfs2", "juicefs")),
}
"""Where SQLite's locks do not hold, or its shared memory is not shared."""


@dataclass(frozen=True, slots=True)
class Tx:
    """The database inside `Ledger.transaction()` or `Ledger.read()`; the table modules beside this file take one."""

    connection: sqlite3.Connection

    def execute(self, statement: str, values: Values = ()) -> sqlite3.Cursor:
        """Execute one statement; its rows are tuples."""
        return self.connection.execute(statement, values)

    def query(self, statement: str, values: Values = ()) -> Iterator[dict[str, Any]]:
        """Execute one statement now, and yield its rows by the names of their columns."""
        cursor = self.connection.execute(statement, values)
        names = [column[0] for column in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)


class Ledger:
    """The ledger at `path`; a connection per operation, so that any thread or process may use it.

    Raises:
        Usage: the file is on a network file system, where SQLite's locks do not hold.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turns = turns_at(path)
        filesystem = filesystem_of(str(path.resolve().parent), _mounts())
        if filesystem in _NETWORK_FILESYSTEMS:
            raise Usage(
                f"The ledger {path} is on {filesystem}.", hint="Put `ledger` on a local disk.", code="ledger-on-network"
            )

    def create(self) -> None:
        """Create the file and its tables where they are missing: one made before a table was added gets it, and keeps what it has.

        Idempotent and safe among several processes.

        Raises:
            Usage: a newer version of the program made it.
            Unavailable: its folder or disk cannot be written.
        """
        _make_private(self.path)
        with self.transaction() as tx:
            known = tx.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'settings'").fetchone()
            if known:
                _check_version(self.path, tx)
            for statement in _statements(resources.files("bot.ledger").joinpath("schema.sql").read_text("utf-8")):
                tx.execute(statement)
            if not known:
                # Once only: an audit without the head kept here was tampered with.
                first = [str(SCHEMA_VERSION), f"0:{GENESIS}"]
                tx.execute("INSERT INTO settings (name, value) VALUES ('schema', ?), ('audit-anchor', ?)", first)

    @contextmanager
    def transaction(self, timeout_s: float = 5.0, *, urgent: bool = False) -> Iterator[Tx]:
        """Read and write under BEGIN IMMEDIATE, so that a read followed by a write never fails half way. No I/O inside.

        Everything is undone when the body raises. Threads of one process take turns; `urgent` goes before the others.

        Raises:
            Unavailable: the ledger stayed locked for `timeout_s` seconds, is missing, or its disk is full or gone.
            Corruption: the file is damaged.
        """
        with self._connected(timeout_s) as connection, self._turn(timeout_s, urgent), _translated(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Tx(connection)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Read one consistent state; never blocks a writer. Raises like `transaction`."""
        with self._connected(5.0) as connection, _translated(self.path):
            connection.execute("BEGIN")
            try:
                yield Tx(connection)
            finally:
                connection.rollback()

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Hold an idle connection while the block runs: it keeps nobody from anything, and halves the price of the others.

        SQLite folds its journal into the file and deletes it whenever the last connection closes; with one connection per
        operation that would be after nearly each of them (measured on a disk: 24 ms a write, with an idle connection 11).
        """
        with self._connected(5.0) as connection, _translated(self.path):
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield

    @contextmanager
    def _turn(self, timeout_s: float, urgent: bool) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(self._turns.turn(timeout_s, urgent=urgent))
            except TimeoutError:
                raise Unavailable(
                    f"The ledger {self.path} cannot be used: it stays locked.",
                    hint="Is its disk full, or another process stuck in it?",
                    code="ledger",
                ) from None
            yield

    @contextmanager
    def _connected(self, timeout_s: float) -> Iterator[sqlite3.Connection]:
        if not self.path.exists():
            raise Unavailable(
                f"There is no ledger at {self.path}.", hint="Has `pitstop run` been started here?", code="no-ledger"
            )
        with _translated(self.path):
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
        with closing(connection):
            with _translated(self.path):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA foreign_keys=ON")
            yield connection


def iso(at: datetime) -> str:
    """Return `at` the way the ledger stores times: sortable ISO 8601 UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def parse_iso(text: str | None) -> datetime | None:
    """Read what `iso` wrote; None stays None."""
    return datetime.fromisoformat(text) if text else None


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(
            f"The ledger {path} cannot be used: {error}.",
            hint="Is its disk full, or another process stuck in it?",
            code="ledger",
        ) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # constraints and misuse are the caller's to understand
            raise
        raise Corruption(
            f"The ledger {path} is damaged: {error}.",
            hint="Set it aside; backups are found again in the repository, decisions in the exported audit.",
            code="ledger-damaged",
        ) from error


def _make_private(path: Path) -> None:
    """Create the file for its owner alone before SQLite opens it; its journal files take the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if file.exists() and file.stat().st_mode & 0o077:  # copied here by somebody
                file.chmod(0o600)
    except OSError as error:
        raise Unavailable(
            f"The ledger {path} cannot be made: {error.strerror}.",
            hint="May this user write there, and is its disk full?",
            code="ledger",
        ) from error


def _check_version(path: Path, tx: Tx) -> None:
    found = int(tx.execute("SELECT value FROM settings WHERE name = 'schema'").fetchone()[0])
    if found > SCHEMA_VERSION:
        raise Usage(
            f"The ledger {path} was made by a newer Pitstop (schema {found}, this one knows {SCHEMA_VERSION}).",
            hint="Is an older version installed by mistake?",
            code="ledger-newer",
        )


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def filesystem_of(folder: str, mounts: str) -> str:
    """Return the type of the file system a resolved folder is on, from the text of `/proc/mounts`; empty if unknown. Pure.

    A later line hides an earlier one of the same place; blanks in paths are written there as octal.
    """
    best, kind = "", ""
    for line in mounts.splitlines():
        _, mount, fstype, *_ = (_OCTAL.sub(lambda found: chr(int(found[1], 8)), field) for field in line.split(" "))
        inside = folder == mount or folder.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, fstype
    return kind

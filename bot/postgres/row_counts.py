"""Exact row counts of every table of a copy; names may contain anything PostgreSQL allows, foreign tables are never read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import psycopg

from bot.errors import PitstopError, Unavailable
from bot.postgres.connect import Connection
from bot.postgres.isolated import IsolatedServer
from bot.postgres.look import looking
from bot.postgres.recovery import supervise

_STATEMENT_S = 300.0
_DATABASES = (
    rb"SELECT replace(datname::text, '\', '\\')::bytea, pg_encoding_to_char(encoding)"
    b" FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY datname"
)
_TABLES = (
    b"SELECT n.nspname::text, c.relname::text, format('%I.%I', n.nspname, c.relname), c.relpersistence = 'u'"
    b" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    b" WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    b" ORDER BY 1, 2"
)
UNLOGGED = "unlogged: not in the WAL, it comes back empty"


@dataclass(frozen=True, slots=True)
class Database:
    """A database that can be connected to."""

    name: str
    encoding: str


@dataclass(frozen=True, slots=True)
class TableRows:
    """How many rows a table has; None when it was not counted, and `note` says why. A partition is a table, its parent is none."""

    database: str
    schema: str
    table: str
    rows: int | None
    note: str = ""

    @property
    def unlogged(self) -> bool:
        """Whether its rows were never in the WAL."""
        return self.note == UNLOGGED

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return asdict(self)


def databases_of(server: IsolatedServer) -> list[Database]:
    """Return the databases of a copy that can be connected to, by name.

    Raises:
        Unavailable: the server takes no connections.
    """
    with supervise(server) as connection:
        rows = connection.execute(_DATABASES).fetchall()
    return [Database(bytes(name).decode("utf-8", "backslashreplace"), str(encoding)) for name, encoding in rows]


def count_tables(
    server: IsolatedServer, database: Database, *, limit_s: float, cancelled: Callable[[], bool]
) -> list[TableRows]:
    """Count the rows of every table of a database; what takes too long, or cannot be read, is said to be not counted. Slow.

    No count begins after `limit_s` seconds, and none takes longer than five minutes.

    Ends early, with what it has, when `cancelled` turns true.

    Raises:
        Unavailable: the server went away.
    """
    deadline = time.monotonic() + limit_s
    encoding = "SQL_ASCII" if database.encoding == "SQL_ASCII" else "UTF8"
    try:
        with looking(
            server, database.name, timeout_s=_STATEMENT_S, cancelled=cancelled, encoding=encoding
        ) as connection:
            found = []
            for schema, table, quoted, unlogged in connection.execute(_TABLES).fetchall():
                if cancelled():
                    break
                rows, note = None, "not counted: there was no time left"
                if time.monotonic() < deadline:
                    rows, note = _count(connection, _bytes(quoted))
                note = UNLOGGED if unlogged and rows is not None else note
                found.append(TableRows(database.name, _text(schema), _text(table), rows, note))
            return found
    except psycopg.errors.QueryCanceled:
        return [TableRows(database.name, "", "", None, "not counted: listing its tables took too long")]
    except psycopg.Error as error:
        raise Unavailable(
            f"The restored server went away while the rows of {database.name} were counted: {' '.join(str(error).split())}",
            hint=f"What does its log say? {server.folder.log}",
            code="server-gone",
        ) from None
    except PitstopError as error:
        if isinstance(error, Unavailable) and not server.running:
            raise
        return [TableRows(database.name, "", "", None, f"not counted: {error.message}")]


def in_doubt(server: IsolatedServer) -> int:
    """Return how many prepared transactions wait for somebody to commit or roll them back: their rows are not there.

    Raises:
        Unavailable: the server takes no connections.
    """
    with supervise(server) as connection:
        row = connection.execute("SELECT count(*) FROM pg_prepared_xacts").fetchone()
    assert row is not None
    return int(row[0])


def _count(connection: Connection, quoted: bytes) -> tuple[int | None, str]:
    try:
        row = connection.execute(b"SELECT count(*) FROM ONLY " + quoted).fetchone()
    except psycopg.errors.QueryCanceled:
        return None, "not counted: it took too long"
    except psycopg.Error as error:
        if connection.closed:
            raise
        return None, f"not counted: {' '.join(str(error).split())}"
    assert row is not None
    return int(row[0]), ""


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value

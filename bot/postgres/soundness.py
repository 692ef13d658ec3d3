"""Are the tables and indexes of a copy sound? Each is read by amcheck, the server's own checker, where it is installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from bot.postgres.connect import Connection, connect, make_dsn
from bot.postgres.isolated import IsolatedServer
from bot.postgres.look import stoppable
from bot.postgres.own_session import session_options
from bot.postgres.row_counts import Database

_STATEMENT_S = 1800.0
_MOST = 20
_SCHEMA = b"pitstop_drill"

# The user's own come first, so that a budget that runs out was spent on them.
_RELATIONS = """
SELECT c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relkind = 'i',
       CASE WHEN i.indexrelid IS NULL OR (i.indisvalid AND i.indisready AND i.indislive) THEN '' ELSE 'invalid' END,
       coalesce(am.amname, ''), n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_am am ON am.oid = c.relam
 WHERE c.relkind IN ('i', 'r', 'm') AND c.relpersistence <> 't'
 ORDER BY n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast'), c.relkind = 'i', 2
"""


@dataclass(frozen=True, slots=True)
class Soundness:
    """What was found: `damaged` and `invalid` are sentences; `unchecked` how many there was no time or no checker for.

    `indexes` counts all indexes of the user's, `checked` the tables and indexes that were read and are sound. `amcheck` is
    empty, or says why nothing was read.
    """

    indexes: int = 0
    checked: int = 0
    unchecked: int = 0
    damaged: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    amcheck: str = ""


def check_soundness(
    server: IsolatedServer, database: Database, *, deep: bool, limit_s: float, cancelled: Callable[[], bool]
) -> Soundness:
    """Look at every index, and with `deep` read every table and B-tree (each row must be in its indexes). Slow.

    Makes the extension amcheck in the copy when it is not there. No check begins after `limit_s` seconds.

    Raises:
        Unavailable, Usage: the database cannot be connected to.
    """
    deadline = time.monotonic() + limit_s
    encoding = "SQL_ASCII" if database.encoding == "SQL_ASCII" else "UTF8"
    with _writing(server, database.name, encoding, cancelled) as connection:
        schema, why = _amcheck(connection) if deep else (None, "not asked for")
        rows = connection.execute(_RELATIONS.encode()).fetchall()
        found = _Found(database.name)
        for oid, name, is_index, state, method, of_system in rows:
            found.indexes += is_index and not of_system
            if state:
                found.invalid.append(f"{database.name}: {_text(name)}")
            elif schema is None or method not in {"btree", "heap"}:
                found.unchecked += schema is not None and is_index
            elif time.monotonic() > deadline or cancelled():
                found.unchecked += 1
            else:
                found.look(connection, schema, int(oid), _text(name), is_index=is_index)
    return Soundness(
        found.indexes, found.checked, found.unchecked, tuple(found.damaged), tuple(found.invalid), "" if schema else why
    )


class _Found:
    def __init__(self, database: str) -> None:
        self.database = database
        self.indexes = self.checked = self.unchecked = 0
        self.damaged = list[str]()
        self.invalid = list[str]()

    def look(self, connection: Connection, schema: bytes, oid: int, name: str, *, is_index: bool) -> None:
        """Read one table or index."""
        if is_index:
            query = b"SELECT " + schema + b".bt_index_check(%d::regclass, true)" % oid
        else:
            query = b"SELECT blkno, msg FROM " + schema + b".verify_heapam(%d::regclass, true, true) LIMIT 1" % oid
        try:
            row = connection.execute(query).fetchone()
        except psycopg.errors.QueryCanceled:
            self.unchecked += 1
        except psycopg.Error as error:
            if connection.closed:
                raise
            self._damage(name, str(error))
        else:
            if not is_index and row is not None:
                self._damage(name, f"block {row[0]}: {_text(row[1])}")
            else:
                self.checked += 1

    def _damage(self, name: str, what: str) -> None:
        if len(self.damaged) < _MOST:
            self.damaged.append(f"{self.database}: {name}: {' '.join(what.split())[:200]}")


def _amcheck(connection: Connection) -> tuple[bytes | None, str]:
    """Return the quoted schema of amcheck in this database, made when missing; or why there is none."""
    known = connection.execute(
        b"SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        b" WHERE e.extname = 'amcheck'"
    ).fetchone()
    try:
        if known is None:
            connection.execute(b"CREATE SCHEMA IF NOT EXISTS " + _SCHEMA)
            connection.execute(b"CREATE EXTENSION amcheck SCHEMA " + _SCHEMA)
            return _SCHEMA, ""
        connection.execute(b"ALTER EXTENSION amcheck UPDATE")
    except psycopg.Error as error:
        if known is None:
            return None, f"amcheck is not here: {' '.join(str(error).split())[:160]}"
    assert known is not None
    return known[0] if isinstance(known[0], bytes) else known[0].encode(), ""


@contextmanager
def _writing(server: IsolatedServer, dbname: str, encoding: str, cancelled: Callable[[], bool]) -> Iterator[Connection]:
    """Open a session as the superuser that may make an extension; no trigger of the copy's fires for it."""
    options = session_options(
        server.binaries.major,
        statement_timeout=f"{round(_STATEMENT_S * 1000)}",
        lock_timeout="10000",
        session_replication_role="replica",
    )
    dsn = make_dsn(server.dsn(), options=options, client_encoding=encoding)
    with connect(dsn, dbname=dbname) as connection, stoppable(connection, cancelled):
        yield connection


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value

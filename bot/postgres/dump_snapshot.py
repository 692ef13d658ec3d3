"""One moment of a database, held still for a dump: its tables locked first, then the snapshot, which others may share.

A snapshot alone is not enough: TRUNCATE and rewrites do not obey it, and a count inside it would be 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from bot.errors import Conflict, Corruption, Failed, PitstopError, Unavailable, Usage
from bot.model.dumps import Table
from bot.model.wal import Lsn
from bot.postgres.connect import Connection, quote_ident, server_place
from bot.postgres.dump_rules import UNREADABLE_OBJECTS, grant_large_objects
from bot.postgres.dump_session import DumpSession

_ATTEMPTS = 5
_LOCKED_AT_ONCE = 200
_KINDS = {"r": "table", "p": "partitioned", "f": "foreign"}
_TABLES = b"""
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, format('%I.%I', n.nspname, c.relname),
       convert_to(n.nspname::text, getdatabaseencoding()), convert_to(c.relname::text, getdatabaseencoding()),
       coalesce((SELECT array_agg(inhparent::bigint) FROM pg_inherits WHERE inhrelid = c.oid), '{}'),
       c.relrowsecurity AND row_security_active(c.oid),
       coalesce((SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                 WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
                   AND d.refclassid = 'pg_extension'::regclass LIMIT 1), ''),
       c.relpersistence = 'u'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 2, 3
"""
_LOCKED = b"""
SELECT relation::bigint FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted AND mode = 'AccessShareLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_MOMENT = b"""
SELECT pg_export_snapshot(), now(), pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text,
       CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END
"""
_HOLDERS = b"""
SELECT l.pid, n.nspname || '.' || c.relname FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p')
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1
"""
_SEQUENCES = b"""
SELECT schemaname::text, sequencename::text, last_value FROM pg_sequences WHERE schemaname !~ '^pg_temp' ORDER BY 1, 2
"""

Select = Callable[[Sequence[Table]], list[Table]]


@dataclass(frozen=True, slots=True)
class SequenceValue:
    """A sequence; `last_value` None where it was never used, or may not be read."""

    schema: str
    name: str
    last_value: int | None

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {"schema": self.schema, "name": self.name, "last_value": self.last_value}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment held still for as long as its connection's transaction lasts.

    `name` is what others import; `at` is when the transaction began, aware UTC; `tables` are those selected, locked unless
    they are foreign; `all_tables` every one of the database.
    """

    connection: Connection
    name: str
    at: datetime
    lsn: Lsn
    timeline: int
    in_recovery: bool
    tables: tuple[Table, ...]
    all_tables: tuple[Table, ...]

    @property
    def pid(self) -> int:
        """The server process that holds the locks."""
        return self.connection.info.backend_pid

    def count(self, table: Table) -> int:
        """Count the rows of one locked table, without its partitions and heirs. Slow.

        Raises:
            psycopg.Error: it was cancelled, or the server went away.
        """
        row = self.connection.execute(b"SELECT count(*) FROM ONLY " + table.sql).fetchone()
        assert row is not None
        return int(row[0])

    def sizes(self) -> dict[int, int]:
        """Return the bytes on disk of each locked table, with TOAST, without indexes, by OID."""
        oids = [table.oid for table in self.tables if table.kind == "table"]
        rows = self.connection.execute(
            "SELECT oid::bigint, coalesce(pg_table_size(oid::oid), 0) FROM unnest(%s::bigint[]) oid", [oids]
        ).fetchall()
        return dict(rows)

    def sequences(self) -> list[SequenceValue]:
        """Return the sequences; they do not obey snapshots, so these are their values now."""
        rows = self.connection.execute(_SEQUENCES).fetchall()
        return [SequenceValue(_text(schema), _text(name), last) for schema, name, last in rows]

    def large_objects(self) -> tuple[int, int]:
        """Count the large objects of the snapshot, and those of them that this role may not read."""
        (count,) = self.connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchall()[0]
        (unreadable,) = self.connection.execute(UNREADABLE_OBJECTS.encode()).fetchall()[0]
        return count, unreadable


def list_tables(session: DumpSession) -> list[Table]:
    """Return every table of a database, foreign and partitioned ones too; nobody's temporary ones.

    Raises:
        Unavailable, Usage: the database cannot be reached or read.
    """
    with translated(session), session.connect() as connection:
        return _list(connection)


@contextmanager
def locked_snapshot(session: DumpSession, select: Select, *, lock_wait_ms: int) -> Iterator[Snapshot]:
    """Hold the tables that `select` chooses in ACCESS SHARE mode, and a snapshot taken after that, while the block lasts.

    `select` is asked twice: what to lock, and again in the snapshot; when it names a table then that was not locked (one
    created meanwhile), everything begins anew.

    Raises:
        Conflict: `table-locked`, somebody held a table for longer than `lock_wait_ms`; or tables come and go too fast.
        Usage: a right is missing, or `select` said so.
        Unavailable: the server went away.
    """
    settings = {"lock_timeout": str(lock_wait_ms), "default_transaction_read_only": "on"}
    with translated(session), session.connect(**settings) as connection:
        for _ in range(_ATTEMPTS):
            snapshot = _try(session, connection, select, lock_wait_ms)
            if snapshot is not None:
                yield snapshot
                return
            connection.execute("ROLLBACK")
    raise Conflict(
        f"The tables of {session.dbname} come and go faster than they can be locked.",
        hint="Is a migration running? Dump again when it is done.",
        code="tables-changing",
    )


def _try(session: DumpSession, connection: Connection, select: Select, lock_wait_ms: int) -> Snapshot | None:
    wanted = [table for table in select(_list(connection)) if table.kind != "foreign"]
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    try:
        # A LOCK takes no snapshot; the first query does, and by then nothing can be emptied or rewritten any more.
        for start in range(0, len(wanted), _LOCKED_AT_ONCE):
            names = b", ".join(b"ONLY " + table.sql for table in wanted[start : start + _LOCKED_AT_ONCE])
            connection.execute(b"LOCK TABLE " + names + b" IN ACCESS SHARE MODE")
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.DeadlockDetected):
        return None
    except psycopg.errors.WrongObjectType:
        return None  # its name is another kind of thing by now
    except psycopg.errors.LockNotAvailable:
        raise _table_locked(session, lock_wait_ms) from None
    tables = _list(connection)
    chosen = select(tables)
    locked = {oid for (oid,) in connection.execute(_LOCKED).fetchall()}
    if any(table.oid not in locked for table in chosen if table.kind != "foreign"):
        return None
    row = connection.execute(_MOMENT).fetchone()
    assert row is not None
    name, at, in_recovery, lsn, timeline = row
    return Snapshot(
        connection,
        _text(name),
        at.astimezone(UTC),
        Lsn.parse(_text(lsn)),
        timeline,
        in_recovery,
        tuple(chosen),
        tuple(tables),
    )


def _list(connection: Connection) -> list[Table]:
    return [_table(*row) for row in connection.execute(_TABLES).fetchall()]


def _table(
    oid: int,
    schema: str | bytes,
    name: str | bytes,
    kind: str | bytes,
    sql: str | bytes,
    raw_schema: bytes,
    raw_name: bytes,
    parents: list[int],
    hidden: bool,
    extension: str | bytes,
    unlogged: bool,
) -> Table:
    pattern = _pattern(raw_schema) + b"." + _pattern(raw_name)
    kind = _KINDS[_text(kind)]
    return Table(
        oid, _text(schema), _text(name), kind, _bytes(sql), pattern, tuple(parents), hidden, _text(extension), unlogged
    )


def _pattern(name: bytes) -> bytes:
    """Quote a name as one of pg_dump's patterns: within double quotes nothing is a wildcard."""
    return b'"' + name.replace(b'"', b'""') + b'"'


def _table_locked(session: DumpSession, lock_wait_ms: int) -> Conflict:
    try:
        with session.connect() as connection:
            found = connection.execute(_HOLDERS).fetchone()
    except (PitstopError, psycopg.Error):
        found = None  # who it was is only for the hint
    what = _text(found[1]) if found else "a table"
    look = f"What is process {found[0]} doing? pg_stat_activity says." if found else "Is a migration running?"
    return Conflict(
        f"Somebody held {what} of {session.dbname} locked for more than {lock_wait_ms / 1000:g} s; the dump was given up.",
        hint=f"{look} Dump again when it is done.",
        code="table-locked",
    )


@contextmanager
def translated(session: DumpSession) -> Iterator[None]:
    """Make what the server says to our sessions one of our errors."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise missing_right(" ".join(str(error).split()), session) from None
    except psycopg.errors.OutOfMemory as error:
        raise Usage(
            f"The server has no room for a lock on every table of {session.dbname}: {' '.join(str(error).split())}",
            hint="ALTER SYSTEM SET max_locks_per_transaction = 256; -- then restart the server",
            code="max-locks",
        ) from None
    except psycopg.errors.DataCorrupted as error:
        raise damaged(" ".join(str(error).split()), session) from None
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(
            f"PostgreSQL at {server_place(session.dsn)} went away during the dump of {session.dbname}:"
            f" {' '.join(str(error).split())}",
            hint="Was the server stopped, or the session ended? Its log says.",
            code="server-gone",
        ) from None
    except psycopg.Error as error:
        raise Failed(
            f"PostgreSQL refused a step of the dump of {session.dbname}: {' '.join(str(error).split())}",
            hint="Does the server's log say more?",
            code=f"postgres-{error.sqlstate}",
        ) from None


def missing_right(said: str, session: DumpSession) -> Usage:
    """Return the error for a right that the dumping role lacks, with the line that grants it. `said` is the server's."""
    role = quote_ident(dumping_role(session))
    if "large object" in said:
        return Usage(
            f"The role that dumps may not read a large object of {session.dbname}: {said}.",
            hint=f"{grant_large_objects(role)} -- as superuser",
            code="right-large-objects",
        )
    if "row-level security" in said:
        return row_security(said, session)
    return Usage(
        f"The role that dumps may not read all of {session.dbname}: {said}.",
        hint=f"GRANT pg_read_all_data TO {role}; -- as superuser",
        code="right-pg-read-all-data",
    )


def damaged(said: str, session: DumpSession) -> Corruption:
    """Return the error for data that the server itself cannot read. `said` is the server's."""
    return Corruption(
        f"The server cannot read all of {session.dbname}, so it was not dumped: {said.rstrip('.')}.",
        hint="Which table is it? Leave it out with --exclude-table, and restore it from the last clean backup.",
        code="damaged-pages",
    )


def row_security(said: str, session: DumpSession) -> Usage:
    """Return the error for rows that row-level security hides from the dump."""
    return Usage(
        f"Row-level security hides rows of {session.dbname} from the dump: {said.rstrip('.')}.",
        hint=f"ALTER ROLE {quote_ident(dumping_role(session))} WITH BYPASSRLS; -- as superuser",
        code="right-bypass-rls",
    )


def dumping_role(session: DumpSession) -> str:
    """Return the name of the role a session logs in as, as far as the DSN or libpq's defaults say."""
    try:
        with session.connect() as connection:
            return connection.info.user
    except PitstopError:
        return "the role"


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()

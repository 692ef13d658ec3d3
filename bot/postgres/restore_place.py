"""The live server as a restore finds it: what it is, what has which name, what it lacks. Looked at as the observing role."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bot.errors import Conflict, Unavailable, Usage
from bot.host.files import free_bytes
from bot.model.destinations import EmptyTables, NewDatabase, NewSchema
from bot.model.typed import quoted
from bot.postgres.archive_toc import Entry
from bot.postgres.connect import Connection, connect, dsn_field, is_local, make_dsn, server_place
from bot.postgres.empty_tables import backwards, in_the_way

NAME_BYTES = 63


@dataclass(frozen=True, slots=True)
class Place:
    """A live server. `may_create` and `superuser` are those of the role that will restore, where the server knows it.

    `disk_free` are the bytes free for its data directory, None where that cannot be seen from here.
    """

    system_id: str
    version_num: int
    in_recovery: bool
    databases: frozenset[str]
    roles: frozenset[str]
    tablespaces: frozenset[str]
    extensions: frozenset[str]
    role: str
    superuser: bool
    may_create: bool
    disk_free: int | None

    @property
    def major(self) -> int:
        """The server's major version."""
        return self.version_num // 10000


@dataclass(frozen=True, slots=True)
class Inside:
    """A database of the live server: its schemas, and its extensions with the schema each is in."""

    schemas: frozenset[str]
    extensions: dict[str, str]


def look_at_place(dsn: str, restore_dsn: str, data_directory: Path | None) -> Place:
    """Look at the server that `dsn` leads to. Of `restore_dsn` the user's name is read, and nothing is done with it.

    Raises:
        Unavailable, Usage: the server does not answer, or turns the role down.
    """
    with _asking(dsn) as connection:
        return _place(connection, restore_dsn, _data_directory(connection, dsn, data_directory))


def look_inside(dsn: str, database: str) -> Inside:
    """Look into a database of the server.

    Raises:
        Unavailable, Usage: it cannot be connected to.
    """
    with _asking(dsn, database) as connection:
        schemas = connection.execute("SELECT nspname::text FROM pg_namespace").fetchall()
        extensions = connection.execute(
            "SELECT extname::text, nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace"
        ).fetchall()
    return Inside(frozenset(name for (name,) in schemas), dict(extensions))


def obstacles(dsn: str, place: Place, destination: NewDatabase | NewSchema) -> Iterator[str]:
    """Say what stands in the way of a destination, in sentences.

    Raises:
        Unavailable, Usage: the database to put a schema into cannot be connected to.
    """
    if isinstance(destination, NewDatabase):
        yield from _bad_name(destination.database, "database")
        if destination.database in place.databases:
            yield f"There is a database {destination.database} on the server already; a restore overwrites nothing."
        return
    yield from _bad_name(destination.schema, "schema")
    if destination.schema.startswith("pg_"):
        yield f"{destination.schema} is no name for a schema: those that begin with pg_ are the server's own."
    if destination.database not in place.databases:
        yield f"There is no database {destination.database} on the server."
    elif destination.schema in look_inside(dsn, destination.database).schemas:
        yield f"There is a schema {destination.schema} in {destination.database} already; a restore overwrites nothing."


def row_obstacles(dsn: str, place: Place, destination: EmptyTables, entries: Sequence[Entry]) -> list[str]:
    """Say in sentences what keeps the rows of an archive's entries out of a database, the first table first.

    Looked at as the restoring role: it is the one that has to read and fill the tables.

    Raises:
        Unavailable, Usage: the database cannot be connected to, or not be read.
    """
    if destination.database not in place.databases:
        return [f"There is no database {destination.database} on the server; rows alone go into tables that exist."]
    if said := list(_bad_name(destination.database, "database")):
        return said
    with _asking(dsn, destination.database) as connection:
        return list(in_the_way(connection, entries))


def key_against(dsn: str, destination: EmptyTables, entries: Sequence[Entry]) -> tuple[str, str, str] | None:
    """Return (child, parent, key): a foreign key that would refuse rows for whom it cannot be turned off; see `backwards`.

    Raises:
        Unavailable, Usage: the database cannot be connected to, or not be read.
    """
    with _asking(dsn, destination.database) as connection:
        return backwards(connection, entries)


def _bad_name(name: str, what: str) -> Iterator[str]:
    if not name or "\0" in name or len(name.encode("utf-8", "replace")) > NAME_BYTES:
        yield f"{quoted(name, 80)} is no name for a {what}: PostgreSQL takes 1 to {NAME_BYTES} bytes."
    elif name.startswith("pitstop_restoring_"):
        yield f"{name} is no name for a {what}: those that begin with pitstop_restoring_ are Pitstop's own."


@contextmanager
def _asking(dsn: str, database: str | None = None) -> Iterator[Connection]:
    """Open a read-only session; the server's errors become ours."""
    options = "-c default_transaction_read_only=on -c statement_timeout=30000 -c search_path=pg_catalog"
    dsn_used = make_dsn(dsn, options=options, client_encoding="UTF8")
    with connect(dsn_used, dbname=database, application_name="pitstop plan") as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise Unavailable(
                f"Looking at {server_place(dsn)} failed: {' '.join(str(error).split())}",
                hint="Was the server stopped meanwhile?",
                code="server-gone",
            ) from None


def _place(connection: Connection, restore_dsn: str, data_directory: Path | None) -> Place:
    role = dsn_field(restore_dsn, "user") or connection.info.user
    system_id, in_recovery = _row(
        connection, "SELECT (SELECT system_identifier::text FROM pg_control_system()), pg_is_in_recovery()"
    )
    rights = connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    if rights is None:
        raise Usage(
            f"The role {role} of restore_dsn does not exist on the server.",
            hint="Is the name right? `pitstop check` prints the line that makes it.",
            code="unknown-role-or-database",
        )
    return Place(
        system_id=system_id,
        version_num=connection.info.server_version,
        in_recovery=in_recovery,
        databases=_names(connection, "SELECT datname::text FROM pg_database"),
        roles=_names(connection, "SELECT rolname::text FROM pg_roles"),
        tablespaces=_names(connection, "SELECT spcname::text FROM pg_tablespace"),
        extensions=_names(connection, "SELECT name::text FROM pg_available_extensions"),
        role=role,
        superuser=rights[0],
        may_create=rights[0] or rights[1],
        disk_free=free_bytes(data_directory) if data_directory is not None else None,
    )


def _data_directory(connection: Connection, dsn: str, configured: Path | None) -> Path | None:
    """Return where the server's files are, when they are on this host."""
    if configured is not None:
        return configured
    if not is_local(dsn):
        return None
    row = connection.execute(
        "SELECT CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END"
    ).fetchone()
    return Path(row[0]) if row is not None and row[0] else None


def _names(connection: Connection, query: str) -> frozenset[str]:
    return frozenset(str(name) for (name,) in connection.execute(query.encode()).fetchall())


def _row(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def require_primary(place: Place) -> None:
    """Refuse a server that takes no writes.

    Raises:
        Conflict: `in-recovery`.
    """
    if place.in_recovery:
        raise Conflict(
            "The server is a standby, or in recovery: nothing can be restored into it.",
            hint="Does restore_dsn lead to the primary?",
            code="in-recovery",
        )

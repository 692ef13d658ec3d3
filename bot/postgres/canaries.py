"""Canaries: two rows of ours on the live server, between whose commits a drill aims; the one must come back, the other not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from bot.errors import Unavailable, Usage
from bot.model.wal import Lsn
from bot.postgres.connect import Connection, connect, quote_ident

SCHEMA = "pitstop"
_KEPT = "30 days"
_TABLE = (
    b"CREATE TABLE IF NOT EXISTS pitstop.canary (drill text NOT NULL, side text NOT NULL,"
    b" written_at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
_MAKE = (
    b"CREATE SCHEMA IF NOT EXISTS pitstop",
    _TABLE,
    b"COMMENT ON TABLE pitstop.canary IS 'Two rows for each drill of Pitstop: the first must come back, the second not'",
)
_WRITE = b"INSERT INTO pitstop.canary (drill, side) VALUES (%s, %s)"


@dataclass(frozen=True, slots=True)
class Canaries:
    """The rows of one drill in `database`: `between` lies after the first one's commit and before the second one's."""

    database: str
    drill: str
    between: Lsn
    at: datetime


def write_canaries(dsn: str, database: str, drill: str) -> Canaries:
    """Write both rows, the table first where it is missing; rows of drills a month ago go.

    Raises:
        Usage: `canary-right`, the role may not; the hint has the line to put right. Or it cannot log in.
        Unavailable: the server does not answer, or is a standby (`canary-standby`).
    """
    with connect(dsn, dbname=database, application_name="pitstop drill", timeout_s=5) as connection:
        try:
            _require_primary(connection)
            _make(connection)
            connection.execute(b"SET synchronous_commit = local")
            connection.execute(b"SET lock_timeout = '10s'; SET statement_timeout = '30s'")
            connection.execute(b"DELETE FROM pitstop.canary WHERE written_at < now() - %s::interval", [_KEPT])
            connection.execute(_WRITE, [drill, "before"])
            row = connection.execute(b"SELECT pg_current_wal_insert_lsn()::text, clock_timestamp()").fetchone()
            assert row is not None
            connection.execute(_WRITE, [drill, "after"])
        except psycopg.errors.InsufficientPrivilege as error:
            raise _no_right(connection, database, error) from None
        except psycopg.Error as error:
            raise Unavailable(
                f"The canaries were not written to {database}: {' '.join(str(error).split())}",
                hint=f"Is the table {SCHEMA}.canary as Pitstop made it?",
                code="canary-failed",
            ) from None
    return Canaries(database, drill, Lsn.parse(row[0]), row[1].astimezone(UTC))


def _require_primary(connection: Connection) -> None:
    if connection.execute(b"SELECT pg_is_in_recovery()").fetchone() == (True,):
        raise Unavailable("The server is a standby: nothing can be written there.", code="canary-standby")


def _make(connection: Connection) -> None:
    """Make the table unless it is there: a role that may write to it need not be allowed to make it."""
    there = connection.execute(b"SELECT to_regclass('pitstop.canary') IS NOT NULL").fetchone()
    if there != (True,):
        # IF NOT EXISTS asks for the right to make a schema even where there is one.
        schema = connection.execute(b"SELECT to_regnamespace('pitstop') IS NOT NULL").fetchone() == (True,)
        for statement in _MAKE[schema:]:
            connection.execute(statement)


def _no_right(connection: Connection, database: str, error: psycopg.Error) -> Usage:
    role = quote_ident(connection.info.user)
    return Usage(
        f"The role {connection.info.user} may not write canaries to {database}: {' '.join(str(error).split())}",
        hint=f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {role}; -- in {quote_ident(database)}, as its owner",
        code="canary-right",
    )


def found_sides(connection: Connection, drill: str) -> set[str]:
    """Return which of a drill's two rows, `before` and `after`, are in this database.

    Raises:
        psycopg.Error: the table is not there.
    """
    rows = connection.execute(b"SELECT side FROM pitstop.canary WHERE drill = %s", [drill]).fetchall()
    return {str(row[0]) for row in rows}

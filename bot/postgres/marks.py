"""Restore points: a name in the WAL to come back to."""

from __future__ import annotations

import unicodedata

import psycopg

from bot.errors import Failed, Unavailable, Usage
from bot.model.wal import Lsn
from bot.postgres.connect import Connection, connect, quote_ident, server_place

_LONGEST_BYTES = 63


def create_restore_point(observe_dsn: str, name: str) -> Lsn:
    """Write a restore point called `name` into the WAL and return its LSN (the end of its record).

    Raises:
        Usage: the name cannot be written as a target, or the role may not (the hint has the GRANT).
        Unavailable: the server is away.
        Failed: it is a standby, or its wal_level is minimal.
    """
    if not _can_be_asked_for(name):
        raise Usage(
            "A restore point needs a name of 1 to 63 bytes, without control characters and double quotes.",
            hint="Try: pitstop mark slips before-migration-42",
            code="bad-mark",
        )
    with connect(observe_dsn, application_name="pitstop mark") as conn:
        return _create(conn, name, server_place(observe_dsn))


def _can_be_asked_for(name: str) -> bool:
    """Say whether `point:"name"` finds it again: PostgreSQL would take names that nobody could type."""
    odd = any(unicodedata.category(char) in {"Cc", "Cs"} or char == '"' for char in name)
    return bool(name.strip()) and not odd and len(name.encode()) <= _LONGEST_BYTES


def _create(conn: Connection, name: str, place: str) -> Lsn:
    try:
        row = conn.execute("SELECT pg_create_restore_point(%s)::text", [name]).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        role = quote_ident(conn.info.user)
        raise Usage(
            f"The role {conn.info.user} may not create restore points.",
            hint=f"As superuser: GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO {role};",
            code="right-pg-create-restore-point",
        ) from None
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        raise Failed(
            f"PostgreSQL at {place} wrote no restore point: {error.diag.message_primary}.",
            hint="Is it a standby, or its wal_level minimal? Name the primary in observe_dsn.",
            code="no-restore-point",
        ) from None
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"PostgreSQL at {place} went away: {' '.join(str(error).split())}.",
            hint="Was it stopped?",
            code="server-gone",
        ) from None
    assert row is not None
    return Lsn.parse(row[0])

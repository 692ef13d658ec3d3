"""A session for work on databases from outside them: connected to another database, steered by nobody's settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bot.errors import Failed, PitstopError, Unavailable, Usage
from bot.postgres.connect import Connection, connect, make_dsn

_OURS = (
    "SELECT set_config(name, value, false) FROM (VALUES ('search_path', 'pg_catalog'), ('statement_timeout', '0'),"
    " ('lock_timeout', '10s'), ('idle_in_transaction_session_timeout', '60s'), ('default_transaction_read_only', 'off'),"
    " ('default_transaction_isolation', 'read committed'), ('synchronous_commit', 'local')) AS ours (name, value)"
)


def connect_beside(dsn: str, *databases: str) -> Connection:
    """Open a session in a database that is none of `databases`: `postgres`, or else `template1`.

    Its commits are on the server's own disk when they are said to be done, and wait for no standby.

    Raises:
        Unavailable, Usage: as `connect`.
    """
    elsewhere = next(name for name in ("postgres", "template1", "template0") if name not in databases)
    connection = connect(make_dsn(dsn, client_encoding="UTF8"), dbname=elsewhere, application_name="pitstop swap")
    try:
        with translated():
            connection.execute(_OURS)
    except PitstopError:
        connection.close()
        raise
    return connection


def database_oids(connection: Connection) -> dict[str, int]:
    """Return the server's databases, name → OID."""
    with translated():
        return dict(connection.execute("SELECT datname::text, oid::bigint FROM pg_database").fetchall())


@contextmanager
def translated() -> Iterator[None]:
    """Turn the server's errors in the block into ours.

    Raises:
        Unavailable: the connection was lost. Usage: our role may not do this. Failed: anything else the server refused.
    """
    try:
        yield
    except psycopg.Error as error:
        raise server_refusal(error.sqlstate, str(error)) from None


def server_refusal(sqlstate: str | None, message: str) -> PitstopError:
    """Return our error for what the server said to work on a database. Pure."""
    said = " ".join(message.split()).removeprefix("ERROR: ").strip()
    if sqlstate is None or sqlstate.startswith(("08", "57P")):
        return Unavailable(
            f"The server ended the connection: {said}.",
            hint="Was it restarted? What was not committed did not happen.",
            code="server-down",
        )
    if sqlstate == "42501":
        return Usage(
            f"PostgreSQL does not let Pitstop's role do this: {said}.",
            hint="Name a superuser in the cluster's `restore_dsn`, or a role with CREATEDB that may SET ROLE to the owners.",
            code="restore-rights",
        )
    return Failed(
        f"PostgreSQL refused: {said} (SQLSTATE {sqlstate}).",
        hint="Does the server's log say more?",
        code=f"postgres-{sqlstate}",
    )

"""The database a restore is made in: under a name of its own until it was checked, and gone if anything goes wrong."""

from __future__ import annotations

import time

from bot.errors import PitstopError, Unavailable
from bot.model.swaps import Note, read_note
from bot.postgres.archive_choice import lacking_schemas
from bot.postgres.connect import Connection, connect, quote_ident, quote_literal
from bot.postgres.database_definition import definition
from bot.postgres.maintenance import connect_beside, database_oids, translated
from jobs.restore.work import RestoreWork

_SERVER_AWAY_S = 120.0
_AGAIN_S = 2.0


def make(work: RestoreWork, name: str, *, becomes: str) -> None:
    """Create the empty database `name` as the dump's was created, with a note of what it is. One of that name is dropped first."""
    made = definition(work.contents.toc, name)
    with connect_beside(work.dsn, name) as connection:
        drop(connection, name)
        run(connection, made.create)
        if made.owner is not None and not work.what.tables:
            run(connection, made.owner)
        oid = database_oids(connection)[name]
        note = Note(
            work.request.id, work.request.cluster, "coming", becomes, oid, work.context.now().isoformat()
        ).text()
        run(connection, f"COMMENT ON DATABASE {quote_ident(name)} IS {quote_literal(note)}")
    if schemas := lacking_schemas(work.contents.toc):
        with connect(work.dsn, dbname=name) as inside:
            for schema in schemas:
                run(inside, f"CREATE SCHEMA {quote_ident(schema)}")


def drop(connection: Connection, name: str) -> None:
    """Drop a database with its sessions. Idempotent."""
    run(connection, f"DROP DATABASE IF EXISTS {quote_ident(name)} WITH (FORCE)")


def note_of(connection: Connection, database: str) -> Note | None:
    """Return Pitstop's note on a database, or None: it is not there, or not Pitstop's."""
    with translated():
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [database]
        ).fetchone()
    return read_note(row[0]) if row is not None else None


def remove(work: RestoreWork, name: str) -> None:
    """Drop the unfinished database, waiting for a server that is away for two minutes.

    Raises:
        PitstopError: it could not be dropped; the sentence names it.
    """
    deadline = time.monotonic() + _SERVER_AWAY_S
    while True:
        try:
            with connect_beside(work.dsn, name) as connection:
                drop(connection, name)
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)
        except PitstopError as error:
            error.hint = f"DROP DATABASE {quote_ident(name)} WITH (FORCE); -- {error.hint}"
            raise
        else:
            return


def run(connection: Connection, statement: str) -> None:
    """Run one statement; the server's errors become ours."""
    with translated():
        connection.execute(statement.encode("utf-8", "surrogateescape"))

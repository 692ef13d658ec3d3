"""Settle: give what was restored and checked its place, in one transaction of the server: it is there whole or not at all."""

from __future__ import annotations

import time

from bot.errors import Conflict, Failed
from bot.model.destinations import NewDatabase, NewSchema
from bot.model.dumps import Part
from bot.model.swaps import Note, read_note
from bot.postgres.connect import connect, quote_ident, quote_literal
from bot.postgres.database_definition import definition
from bot.postgres.maintenance import connect_beside, database_oids, translated
from bot.postgres.schema_move import copy_schema, gather
from jobs.restore import scratch
from jobs.restore.check import count, reading
from jobs.restore.work import RestoreWork

_ATTEMPTS = 5
_AGAIN_S = 1.0
_OBJECT_IN_USE = "postgres-55006"


def settle(work: RestoreWork) -> None:
    """Give the restored database its name, or copy its tables into the new schema.

    Raises:
        Conflict: `destination-taken`, something has that name by now. Failed, Unavailable: the server refused, or went away.
    """
    match work.going_to:
        case NewDatabase(database):
            _name(work, database)
        case NewSchema(database, schema):
            _copy(work, database, schema)


def settled(work: RestoreWork) -> bool:
    """Say whether an earlier run of this request settled it: the place carries this request's note."""
    match work.going_to:
        case NewDatabase(database):
            with connect_beside(work.dsn, database) as connection:
                note = scratch.note_of(connection, database)
        case NewSchema(database, schema):
            note = _schema_note(work, database, schema)
    return note is not None and note.request == work.request.id


def take_back(work: RestoreWork) -> None:
    """Remove what this request settled a moment ago, where it must not stay after all; the note says that it is ours."""
    if not settled(work):
        return
    match work.going_to:
        case NewDatabase(database):
            scratch.remove(work, database)
        case NewSchema(database, schema):
            with translated(), connect(work.session(database).conninfo(), dbname=database) as connection:
                scratch.run(connection, f"DROP SCHEMA {quote_ident(schema)} CASCADE")


def finish_notes(work: RestoreWork) -> None:
    """Replace Pitstop's note by the comment that belongs there: the dump's own, or where it came from. Idempotent."""
    match work.going_to:
        case NewDatabase(database):
            own = definition(work.contents.toc, database).comment if _whole(work) else None
            with connect_beside(work.dsn, database) as connection:
                scratch.run(connection, own or f"COMMENT ON DATABASE {quote_ident(database)} IS NULL")
        case NewSchema(database, schema):
            origin = f"Restored from {work.manifest.id} of {work.what.database}, request {work.request.id}."
            with translated(), connect(work.session(database).conninfo(), dbname=database) as connection:
                scratch.run(connection, f"COMMENT ON SCHEMA {quote_ident(schema)} IS {quote_literal(origin)}")


def _name(work: RestoreWork, database: str) -> None:
    """Rename, with the dumped database's owner, settings and grants in the same transaction."""
    work.context.phase("name")
    made = definition(work.contents.toc, work.scratch)
    statements = made.properties if _whole(work) else ()
    for attempt in range(1, _ATTEMPTS + 1):
        with connect_beside(work.dsn, database, work.scratch) as connection:
            if database in database_oids(connection):
                raise _taken(f"database {database}")
            try:
                with translated(), connection.transaction():
                    for statement in statements:
                        scratch.run(connection, statement)
                    scratch.run(
                        connection, f"ALTER DATABASE {quote_ident(work.scratch)} RENAME TO {quote_ident(database)}"
                    )
            except Failed as error:
                if error.reason_code == "postgres-42P04":
                    raise _taken(f"database {database}") from None
                if error.reason_code != _OBJECT_IN_USE or attempt == _ATTEMPTS:
                    raise
                _end_sessions(work)
            else:
                return
        work.check_time()
        time.sleep(_AGAIN_S)


def _end_sessions(work: RestoreWork) -> None:
    """End sessions of others in the unfinished database: a monitor that looks into every one, for example."""
    with connect_beside(work.dsn, work.scratch) as connection, translated():
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [work.scratch])


def _copy(work: RestoreWork, database: str, schema: str) -> None:
    work.context.phase("copy")
    with connect_beside(work.dsn, database, work.scratch) as connection, translated():
        row = connection.execute(
            "SELECT pg_get_userbyid(datdba)::text, oid::bigint FROM pg_database WHERE datname = %s", [database]
        ).fetchone()
    if row is None:
        raise Conflict(f"There is no database {database} any more.", hint="Was it dropped?", code="unknown-database")
    owner, oid = row
    note = Note(work.request.id, work.request.cluster, "coming", database, oid, work.context.now().isoformat())
    source, target = work.session(work.scratch), work.session(database)
    gather(source, schema, owner=owner, comment=note.text())
    total = work.plan.facts.backup_bytes

    def on_bytes(done: int) -> None:
        work.context.progress(done, max(done, total))

    try:
        copy_schema(work.tools, source, target, schema, on_bytes=on_bytes, check=work.check_time)
    except Failed as error:
        if f'schema "{schema}" already exists' in error.message:
            raise _taken(f"schema {schema} in {database}") from None
        raise
    if work.what.part is not Part.SCHEMA_ONLY:
        with reading(work, database) as connection:
            count(work, connection, schema)
            for table in work.contents.choice.tables:
                scratch.run(connection, f"ANALYZE {quote_ident(schema)}.{quote_ident(table.name)}")
    with connect_beside(work.dsn, work.scratch) as connection:
        scratch.drop(connection, work.scratch)


def _schema_note(work: RestoreWork, database: str, schema: str) -> Note | None:
    with connect_beside(work.dsn) as connection:
        if database not in database_oids(connection):
            return None
    with translated(), connect(work.session(database).conninfo(), dbname=database) as connection:
        row = connection.execute(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [schema]
        ).fetchone()
    return read_note(row[0]) if row is not None else None


def _whole(work: RestoreWork) -> bool:
    """Whether the whole database comes back, with what belongs to itself."""
    return not work.what.tables


def _taken(what: str) -> Conflict:
    return Conflict(
        f"There is a {what} by now; nothing of it was touched, and what was restored is removed.",
        hint="Who made it? Ask again with another name.",
        code="destination-taken",
    )

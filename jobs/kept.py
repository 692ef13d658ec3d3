"""Drop a database that a swap kept: only the one that was recorded, by name, OID and Pitstop's own note on it."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from bot import desk
from bot.errors import Conflict
from bot.ledger import kept as rows
from bot.model.kept import Kept, require_kept
from bot.model.swaps import read_note
from bot.postgres.connect import Connection
from bot.postgres.database_traits import read_traits
from bot.postgres.maintenance import connect_beside, database_oids, translated
from jobs.context import JobContext


def remove(context: JobContext) -> dict[str, Any]:
    """Drop what the run's request keeps. Idempotent: one that is gone already is removed.

    Answers {"request", "name", "bytes", "state"}.

    Raises:
        Conflict: `kept-strange`, it is not the database that was kept; it stays. Or it is in service again.
        Failed: somebody is connected to it, or a subscription or slot holds it; it stays.
    """
    assert context.run.request is not None
    with context.ledger.read() as tx:
        kept = rows.get(tx, context.run.request)
    require_kept(kept)
    context.phase("remove")
    with connect_beside(context.config.cluster(kept.cluster).restoring, kept.name, kept.database) as connection:
        if kept.oid in database_oids(connection).values():
            _require_same(connection, kept)
            with translated():
                connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(kept.name)))
    desk.kept_removed(context.ledger, kept.id, context.now())
    return {"request": kept.id, "name": kept.name, "bytes": kept.size_bytes, "state": "removed"}


def _require_same(connection: Connection, kept: Kept) -> None:
    traits = read_traits(connection, kept.name)
    note = read_note(traits.comment) if traits else None
    if traits is None or traits.oid != kept.oid:
        raise _strange(f"The database with OID {kept.oid} is not called {kept.name} any more.")
    if note is None or (note.request, note.role, note.oid) != (kept.id, "kept", kept.oid):
        raise _strange(f"{kept.name} does not carry the note that Pitstop left on it.")


def _strange(sentence: str) -> Conflict:
    return Conflict(
        f"{sentence} It was not removed.",
        hint="Did somebody rename it or take it into use? Drop it by hand once nobody needs it.",
        code="kept-strange",
    )

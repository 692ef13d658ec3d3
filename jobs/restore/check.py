"""Check what was restored, before anybody sees it: rows against the dump's counts, indexes, constraints, sequences, SQL checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from bot.errors import Failed
from bot.model import amounts
from bot.postgres.connect import Connection, connect, quote_ident
from bot.postgres.look import stoppable
from bot.postgres.maintenance import translated
from bot.postgres.sql_checks import ask
from jobs.restore.contents import DumpedTable
from jobs.restore.work import RestoreWork

TABLES_KEPT = 1000
LARGEST_SHOWN = 4
_AS_A_CHECK = {"default_transaction_read_only": "on", "search_path": "", "statement_timeout": "300000"}
_INVALID = (
    "SELECT format('%I.%I', n.nspname, c.relname)::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT (indisvalid AND indisready AND indislive) ORDER BY 1"
)
_UNPROVED = (
    "SELECT count(*) FROM pg_constraint WHERE NOT convalidated AND connamespace NOT IN (11, 99) AND coninhcount = 0"
)
_SEQUENCES = "SELECT schemaname::text, sequencename::text, last_value, increment_by FROM pg_sequences"
_INDEXES = (
    "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
)


def check(work: RestoreWork, database: str) -> dict[str, Any]:
    """Look at the restored database and return {"checks": [{"name", "ok", "detail"}], "tables": […], "tables_left_out"}. Slow.

    `tables`: {"database", "schema", "table", "rows", "note"}, largest first. Statistics are gathered first (ANALYZE).

    Raises:
        Failed: `rows-differ`, `index-invalid`, `sequence-differs`: what is there is not what was dumped.
        Cancelled: the run was asked to stop. Unavailable: the server went away.
    """
    work.context.phase("check")
    with reading(work, database) as connection:
        work.context.note("Gathering statistics")
        connection.execute("ANALYZE")
        tables = count(work, connection)
        found = [
            rows_line(work, tables),
            _indexes(connection),
            _constraints(work, connection),
            *_sequences(work, connection),
            *_large_objects(work, connection),
        ]
    found += list(_asked(work, database))
    work.context.note("")
    tables.sort(key=lambda one: -(one["rows"] or 0))
    return {"checks": found, "tables": tables[:TABLES_KEPT], "tables_left_out": max(0, len(tables) - TABLES_KEPT)}


def count(
    work: RestoreWork, connection: Connection, schema: str | None = None, *, to_the_end: bool = False
) -> list[dict[str, Any]]:
    """Count the rows of every restored table, in `schema` where they were moved there, and hold them to the dump's counts.

    `to_the_end`: whether the run was asked to stop is not looked at.

    Raises:
        Failed: `rows-differ`.
    """
    tables = list[dict[str, Any]]()
    differing = list[str]()
    for table in work.contents.tables():
        if not to_the_end:
            work.check_time()
        if table.rows is None:
            continue
        work.context.note(f"Counting rows in {table.full_name}")
        rows = _count(connection, schema or table.schema, table.name)
        tables.append(_row(work, table, rows))
        if rows != table.rows:
            differing.append(f"{table.full_name} has {rows:,} rows, and the dump counted {table.rows:,}")
    if differing:
        more = f", and {len(differing) - 4} more tables" if len(differing) > 4 else ""
        raise Failed(
            f"What was restored is not what was dumped: {'; '.join(differing[:4])}{more}.",
            hint="Is a trigger or rule of the dump's at work? Restore another dump, and let the drill look at this one.",
            code="rows-differ",
        )
    return tables


@contextmanager
def reading(work: RestoreWork, database: str, **settings: str) -> Iterator[Connection]:
    """Open a session of our own in a restored database; a statement under way ends when the run is asked to stop."""
    session = work.session(database)
    with (
        translated(),
        connect(session.conninfo(**settings), dbname=database) as connection,
        stoppable(connection, work.context.cancelled),
    ):
        try:
            yield connection
        except psycopg.errors.QueryCanceled:
            work.context.check_cancelled()
            raise


def _count(connection: Connection, schema: str, name: str) -> int:
    table = f"{quote_ident(schema)}.{quote_ident(name)}"
    row = connection.execute(b"SELECT count(*) FROM ONLY " + table.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _row(work: RestoreWork, table: DumpedTable, rows: int) -> dict[str, Any]:
    return {"database": work.what.database, "schema": table.schema, "table": table.name, "rows": rows, "note": ""}


def rows_line(work: RestoreWork, tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Say in a line what came back: the largest tables, and how many rows in all."""
    largest = sorted(tables, key=lambda one: -one["rows"])[:LARGEST_SHOWN]
    words = [f"{one['table']} {one['rows']:,}" for one in largest]
    uncounted = sum(table.rows is None and table.kind == "table" for table in work.contents.tables())
    lacking = f"of {amounts.count(uncounted, 'table')} the dump counted no rows" if uncounted else ""
    if not tables:
        return {"name": "rows", "ok": None, "detail": lacking or "no rows were to come back"}
    in_all = sum(one["rows"] for one in tables)
    words.append(f"{amounts.count(len(tables), 'table')} with {amounts.count(in_all, 'row')} in all")
    words += [lacking] if lacking else []
    return {"name": "rows equal the dump's counts", "ok": True, "detail": "; ".join(words)}


def _indexes(connection: Connection) -> dict[str, Any]:
    invalid = [str(name) for (name,) in connection.execute(_INVALID).fetchall()]
    if invalid:
        raise Failed(
            f"Indexes are not valid after the restore: {', '.join(invalid[:5])}.",
            hint="Was a partition left out of the dump? Restore another dump, or name its tables.",
            code="index-invalid",
        )
    return {
        "name": "indexes are valid",
        "ok": True,
        "detail": amounts.count(_number(connection, _INDEXES), "index", "indexes"),
    }


def _constraints(work: RestoreWork, connection: Connection) -> dict[str, Any]:
    """Hold the constraints that were not proved to those that were not in the dump either."""
    told = sum(
        entry.defn.rstrip().endswith("NOT VALID;")
        for entry in work.contents.choice.entries
        if "CONSTRAINT" in entry.desc
    )
    unproved = _number(connection, _UNPROVED)
    detail = "all are proved" if not unproved else f"{unproved} are NOT VALID, as they were when dumped"
    return {"name": "constraints", "ok": unproved <= told, "detail": detail}


def _sequences(work: RestoreWork, connection: Connection) -> Iterator[dict[str, Any]]:
    """Hold each sequence to the value it had: none may be behind, or it would hand out numbers again.

    Raises:
        Failed: `sequence-differs`.
    """
    if work.what.tables or not any(entry.desc == "SEQUENCE SET" for entry in work.contents.choice.entries):
        return
    there = {(schema, name): (last, step) for schema, name, last, step in connection.execute(_SEQUENCES).fetchall()}
    behind = list[str]()
    for one in work.contents.record.get("sequences", ()):
        last, step = there.get((one["schema"], one["name"]), (None, 1))
        if one["last_value"] is not None and (last is None or (last - one["last_value"]) * step < 0):
            behind.append(f"{one['schema']}.{one['name']} is at {last}, and was at {one['last_value']}")
    if behind:
        raise Failed(
            f"Sequences are behind what was dumped: {'; '.join(behind[:4])}.",
            hint="Restore another dump, and let the drill look at this one.",
            code="sequence-differs",
        )
    yield {"name": "sequences", "ok": True, "detail": f"{len(there):,} are where they were, or further"}


def _large_objects(work: RestoreWork, connection: Connection) -> Iterator[dict[str, Any]]:
    """Hold the number of large objects to the dump's.

    Raises:
        Failed: `large-objects-differ`.
    """
    wanted = work.contents.record.get("large_objects")
    if not wanted or work.what.tables or not work.contents.choice.tables:
        return
    there = _number(connection, "SELECT count(*) FROM pg_largeobject_metadata")
    if there != wanted:
        raise Failed(
            f"{there:,} large objects came back, and the dump counted {wanted:,}.",
            hint="Restore another dump, and let the drill look at this one.",
            code="large-objects-differ",
        )
    yield {"name": "large objects", "ok": True, "detail": f"{there:,}"}


def _asked(work: RestoreWork, database: str) -> Iterator[dict[str, Any]]:
    """Run the configured checks; what they find is told, and keeps nothing back."""
    for sql_check in work.steps.checks:
        work.context.note(f"Checking: {sql_check.name}")
        with reading(work, database, **_AS_A_CHECK) as connection:
            ok, detail = ask(connection, sql_check)
        work.check_time()
        yield {"name": sql_check.name, "ok": ok, "detail": detail}


def _number(connection: Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])

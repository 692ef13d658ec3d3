"""Can rows alone go into tables that exist: is each there, with the columns the rows have, and without a row of its own?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import psycopg

from bot.postgres.archive_toc import Entry
from bot.postgres.connect import Connection, quote_ident

_COLUMNS = re.compile(r' \(((?:"(?:[^"]|"")+"|[^",()])+(?:, (?:"(?:[^"]|"")+"|[^",()])+)*)\) FROM stdin;\s*\Z')
_NAME = re.compile(r'"((?:[^"]|"")+)"|([^\s",]+)')
_THERE = """
SELECT c.relkind = 'r',
       ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = %s AND relname = %s
"""


def in_the_way(connection: Connection, entries: Iterable[Entry]) -> Iterator[str]:
    """Say, table by table, what keeps the rows of an archive's entries out: the first thing of each, in a sentence.

    Raises:
        psycopg.Error: the server went away.
    """
    database = connection.info.dbname
    connection.execute(b"SET row_security TO off")  # what a policy hides is a row all the same
    for entry in entries:
        if entry.desc != "TABLE DATA":
            continue
        name = f"{entry.schema}.{entry.tag}"
        row = connection.execute(_THERE.encode(), [entry.schema, entry.tag]).fetchone()
        if row is None:
            yield f"There is no table {name} in {database}."
            continue
        ordinary, there = row
        lacking = [column for column in columns(entry.copy) if column not in there]
        if not ordinary:
            yield f"{name} in {database} is no ordinary table."
        elif lacking:
            yield f"The table {name} in {database} has no column {lacking[0]}, and the dump's rows have one."
        else:
            yield from _rows(connection, entry, f"The table {name} in {database}")


def backwards(connection: Connection, entries: Iterable[Entry]) -> tuple[str, str, str] | None:
    """Return a foreign key of the existing tables that would refuse rows because its parent's come later: (child, parent, key).

    Rows come in the archive's order, which a pipe does not let anybody change. A key that is checked at the end does no harm.

    Raises:
        psycopg.Error: the server went away.
    """
    coming = [(entry.schema, entry.tag) for entry in entries if entry.desc == "TABLE DATA"]
    turn = {table: number for number, table in enumerate(coming)}
    for schema, child, parent_schema, parent, key in connection.execute(_KEYS.encode()).fetchall():
        first, second = turn.get((schema, child)), turn.get((parent_schema, parent))
        if first is not None and second is not None and first < second:
            return f"{schema}.{child}", f"{parent_schema}.{parent}", str(key)
    return None


_KEYS = """
SELECT cn.nspname::text, c.relname::text, pn.nspname::text, p.relname::text, k.conname::text
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
  JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
 WHERE k.contype = 'f' AND NOT k.condeferred
 ORDER BY 1, 2, 5
"""


def _rows(connection: Connection, entry: Entry, table: str) -> Iterator[str]:
    try:
        if has_rows(connection, entry.schema, entry.tag):
            yield f"{table} has rows already; nothing is ever overwritten."
    except psycopg.errors.InsufficientPrivilege:
        yield f"{table} may not be read whole by the restoring role, so nobody knows whether it is empty."


def has_rows(connection: Connection, schema: str, name: str) -> bool:
    """Say whether a table has a row of its own, whatever heirs it has."""
    table = f"{quote_ident(schema)}.{quote_ident(name)}"
    return connection.execute(b"SELECT FROM ONLY " + table.encode() + b" LIMIT 1").fetchone() is not None


def columns(copy: str) -> list[str]:
    """Return the columns that a COPY statement of pg_dump's fills, in order; pure."""
    found = _COLUMNS.search(copy)
    if found is None:
        return []
    return [quoted.replace('""', '"') if quoted else plain for quoted, plain in _NAME.findall(found[1])]

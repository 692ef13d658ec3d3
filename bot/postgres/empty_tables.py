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

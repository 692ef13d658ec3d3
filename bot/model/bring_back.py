"""How a table is taken from the copy beside into the live server: one line to copy, quoted exactly. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from bot.model.typed import shell_word

_ANY = '"SCHEMA"."TABLE"'


def bring_back_line(dsn: str, result: Mapping[str, Any]) -> str:
    """Return the shell's line that copies one table of the copy at `dsn` into LIVE, all of it or nothing.

    The example is the largest counted table of the database that `dsn` leads to; where none is known, SCHEMA and TABLE stand
    for it.
    """
    return f"pg_dump {shell_word(dsn)} -t {shlex.quote(_largest(dsn, result))} | psql -X -1 -v ON_ERROR_STOP=1 LIVE"


def _largest(dsn: str, result: Mapping[str, Any]) -> str:
    tables = result.get("tables")
    words = dsn.split()
    for table in tables if isinstance(tables, list | tuple) else ():
        if isinstance(table, Mapping) and table.get("rows") and f"dbname={table.get('database')}" in words:
            return f"{_identifier(table.get('schema'))}.{_identifier(table.get('table'))}"
    return _ANY


def _identifier(name: object) -> str:
    escaped = str(name).replace('"', '""')
    return f'"{escaped}"'

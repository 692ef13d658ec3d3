"""Foreign keys of a copy, proved row by row: PostgreSQL trusts them once they were validated, whatever was done since."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from bot.postgres.connect import Connection
from bot.postgres.isolated import IsolatedServer
from bot.postgres.look import looking
from bot.postgres.row_counts import Database

_STATEMENT_S = 1800.0
_MOST = 1000

# The query that finds orphans is put together by the server itself, which alone can quote every name in its encoding.
# An index that is damaged must not answer for the table: rows are compared by reading the tables.
_KEYS = """
SELECT k.name, k.state,
       format('SELECT count(*) FROM (SELECT 1 FROM %s k WHERE (%s) AND (%s OR NOT EXISTS (SELECT 1 FROM %s p WHERE %s))'
              ' LIMIT {most}) f', k.child, k.filled, k.torn, k.parent, k.same)
  FROM (SELECT format('%I on %I.%I', con.conname, cn.nspname, c.relname) AS name,
               CASE WHEN NOT con.convalidated THEN 'not validated' WHEN {period} THEN 'temporal' ELSE '' END AS state,
               format('%s%I.%I', CASE c.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, cn.nspname, c.relname) AS child,
               format('%s%I.%I', CASE p.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, pn.nspname, p.relname) AS parent,
               string_agg(format('k.%I IS NOT NULL', a.attname),
                          CASE con.confmatchtype WHEN 'f' THEN ' OR ' ELSE ' AND ' END) AS filled,
               CASE con.confmatchtype WHEN 'f' THEN string_agg(format('k.%I IS NULL', a.attname), ' OR ')
                                      ELSE 'false' END AS torn,
               string_agg(format('p.%I OPERATOR(%I.%s) k.%I', pa.attname, opn.nspname, op.oprname, a.attname), ' AND ') AS same
          FROM pg_constraint con
          JOIN pg_class c ON c.oid = con.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
          JOIN pg_class p ON p.oid = con.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
          CROSS JOIN LATERAL unnest(con.conkey, con.confkey, con.conpfeqop) AS u(ours, theirs, operator)
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.ours
          JOIN pg_attribute pa ON pa.attrelid = p.oid AND pa.attnum = u.theirs
          JOIN pg_operator op ON op.oid = u.operator JOIN pg_namespace opn ON opn.oid = op.oprnamespace
         WHERE con.contype = 'f' AND con.conparentid = 0
         GROUP BY con.oid, cn.oid, c.oid, pn.oid, p.oid) k
 ORDER BY 1
"""
_BY_TABLE = b"SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off"


@dataclass(frozen=True, slots=True)
class ForeignKeys:
    """What was found: `broken` and `unchecked` are sentences, `checked` how many hold."""

    checked: int
    broken: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def check_foreign_keys(
    server: IsolatedServer, database: Database, *, limit_s: float, cancelled: Callable[[], bool]
) -> ForeignKeys:
    """Look for rows whose parent is missing, key by key; none is begun after `limit_s` seconds. Slow. Writes nothing.

    Keys that were never validated, and those with PERIOD, are named and not judged.

    Raises:
        Unavailable, Usage: the database cannot be connected to.
    """
    deadline = time.monotonic() + limit_s
    encoding = "SQL_ASCII" if database.encoding == "SQL_ASCII" else "UTF8"
    checked, broken, unchecked = 0, list[str](), list[str]()
    with looking(server, database.name, timeout_s=_STATEMENT_S, cancelled=cancelled, encoding=encoding) as connection:
        connection.execute(_BY_TABLE)
        for name, state, query in connection.execute(_query(server.binaries.major)).fetchall():
            shown = f"{database.name}: {_text(name)}"
            if cancelled():
                break
            if _text(state):
                unchecked.append(f"{shown} ({_text(state)})")
            elif time.monotonic() > deadline:
                unchecked.append(f"{shown} (no time was left)")
            else:
                orphans, why = _orphans(connection, query)
                checked += orphans == 0
                broken += [f"{shown}: {_many(orphans)} without a parent"] if orphans else []
                unchecked += [f"{shown} ({why})"] if why else []
    return ForeignKeys(checked, tuple(broken), tuple(unchecked))


def _orphans(connection: Connection, query: str | bytes) -> tuple[int | None, str]:
    try:
        row = connection.execute(query if isinstance(query, bytes) else query.encode()).fetchone()
    except psycopg.errors.QueryCanceled:
        return None, "it took too long"
    except psycopg.Error as error:
        if connection.closed:
            raise
        return None, " ".join(str(error).split())[:200]
    assert row is not None
    return int(row[0]), ""


def _query(major: int) -> bytes:
    return _KEYS.format(most=_MOST, period="con.conperiod" if major >= 18 else "false").encode()


def _many(orphans: int) -> str:
    return f"{orphans:,} or more rows" if orphans == _MOST else f"{orphans:,} row{'s' * (orphans != 1)}"


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value

"""Check the recovered copy: how many rows every table has, and what the configured SQL checks say. Findings are results."""

from __future__ import annotations

from typing import Any

from bot.errors import Unavailable
from bot.postgres.isolated import IsolatedServer
from bot.postgres.row_counts import Database, TableRows, count_tables, databases_of, in_doubt
from bot.postgres.sql_checks import run_check
from jobs.pitr.replay import Recovered
from jobs.pitr.work import Work

LARGEST_SHOWN = 4
TABLES_KEPT = 1000
_COUNTING_S = 900.0


def check(work: Work, recovered: Recovered) -> dict[str, Any]:
    """Look at everything and return {"checks": [{"name", "ok", "detail"}], "tables": […], "tables_left_out"}. Slow.

    `ok` is None for what is told and not judged. `tables` are the largest first: {"database", "schema", "table", "rows", "note"};
    `rows` is None for a table that was not counted, and `note` says why. Nothing is written; foreign tables are never read.

    Raises:
        Cancelled: the run was asked to stop.
        Unavailable: the server does not answer.
    """
    work.context.phase("check")
    checks = [_proof(work, recovered)]
    server = recovered.server
    databases = databases_of(server)
    tables: list[TableRows] = []
    for database in databases:
        work.context.note(f"Counting rows in {database.name}")
        found = _count(work, server, database)
        tables += found
        if found:
            checks.append(_counted(database, found))
    checks += _in_doubt(server)
    for sql_check in work.steps.checks:
        work.context.note(f"Checking: {sql_check.name}")
        ok, detail = run_check(server, sql_check, cancelled=work.context.cancelled)
        work.context.check_cancelled()
        checks.append({"name": sql_check.name, "ok": ok, "detail": detail})
    work.context.note("")
    tables.sort(key=lambda t: (t.rows is not None, -(t.rows or 0), t.database, t.schema, t.table))
    kept = [table.as_json() for table in tables[:TABLES_KEPT]]
    return {"checks": checks, "tables": kept, "tables_left_out": len(tables) - len(kept)}


def _count(work: Work, server: IsolatedServer, database: Database) -> list[TableRows]:
    try:
        found = count_tables(server, database, limit_s=_COUNTING_S, cancelled=work.context.cancelled)
    except Unavailable:
        work.context.check_cancelled()
        raise
    work.context.check_cancelled()
    return found


def _proof(work: Work, recovered: Recovered) -> dict[str, Any]:
    target = work.steps.target
    return {
        "name": "stopped exactly at the target",
        "ok": True,
        "detail": f"replay ended before {target.lsn} on timeline {target.timeline}; "
        f"the copy goes on as timeline {recovered.proof['timeline']}",
    }


def _in_doubt(server: IsolatedServer) -> list[dict[str, Any]]:
    number = in_doubt(server)
    if not number:
        return []
    detail = f"{number:,} were prepared and not yet decided at the target; their rows are not counted, and their locks are held"
    return [{"name": "transactions in doubt", "ok": None, "detail": detail}]


def _counted(database: Database, tables: list[TableRows]) -> dict[str, Any]:
    """Say in a line what a database holds: its largest tables, how many rows in all, and what was not counted."""
    known = sorted((t for t in tables if t.rows is not None), key=lambda t: -(t.rows or 0))
    words = [f"{t.table} {t.rows:,}" for t in known[:LARGEST_SHOWN]]
    words.append(f"{len(known):,} tables with {sum(t.rows or 0 for t in known):,} rows in all")
    if len(known) < len(tables):
        words.append(f"{len(tables) - len(known):,} not counted")
    if unlogged := sum(t.unlogged for t in tables):
        words.append(f"{unlogged:,} unlogged, which come back empty")
    return {
        "name": f"rows in {database.name}",
        "ok": True if len(known) == len(tables) else None,
        "detail": "; ".join(words),
    }

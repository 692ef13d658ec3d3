"""Check the recovered copy: how many rows every table has, and what the configured SQL checks say. Findings are results."""

from __future__ import annotations

import time
from typing import Any

from bot.model.sql_checks import SqlCheck
from bot.postgres.isolated import IsolatedServer
from bot.postgres.row_counts import TableRows, count_tables, databases_of, in_doubt
from bot.postgres.sql_checks import run_check
from jobs.pitr.replay import Recovered
from jobs.pitr.work import Work

LARGEST_SHOWN = 4
TABLES_KEPT = 1000
COUNTING_S = 900.0


def check(work: Work, recovered: Recovered) -> dict[str, Any]:
    """Look at everything and return {"checks": [{"name", "ok", "detail"}], "tables": […], "tables_left_out"}. Slow.

    `ok` is None for what is told and not judged. `tables`: {"database", "schema", "table", "rows", "note"}, those that were not
    counted first (`rows` is None, and `note` says why), then the largest. Nothing is written; foreign tables are never read.

    Raises:
        Cancelled: the run was asked to stop.
        Unavailable: the server does not answer.
    """
    work.context.phase("check")
    server = recovered.server
    counted = _count_all(work, server)
    asked = [_ask(work, server, sql_check) for sql_check in work.steps.checks]
    work.context.note("")
    rows = [_counted(name, tables) for name, tables in counted.items() if tables]
    tables = [table for found in counted.values() for table in found]
    tables.sort(key=lambda t: (t.rows is not None, -(t.rows or 0), t.database, t.schema, t.table))
    return {
        "checks": [_proof(work, recovered), *asked, *_in_doubt(server), *rows],
        "tables": [table.as_json() for table in tables[:TABLES_KEPT]],
        "tables_left_out": max(0, len(tables) - TABLES_KEPT),
    }


def _count_all(work: Work, server: IsolatedServer) -> dict[str, list[TableRows]]:
    """Count the rows of all tables, database by database, within `COUNTING_S` in all."""
    deadline = time.monotonic() + COUNTING_S
    counted = {}
    for database in databases_of(server):
        work.context.note(f"Counting rows in {database.name}")
        left_s = max(0.0, deadline - time.monotonic())
        counted[database.name] = count_tables(server, database, limit_s=left_s, cancelled=work.context.cancelled)
        work.context.check_cancelled()
    return counted


def _ask(work: Work, server: IsolatedServer, sql_check: SqlCheck) -> dict[str, Any]:
    work.context.note(f"Checking: {sql_check.name}")
    ok, detail = run_check(server, sql_check, cancelled=work.context.cancelled)
    work.context.check_cancelled()
    return {"name": sql_check.name, "ok": ok, "detail": detail}


def _proof(work: Work, recovered: Recovered) -> dict[str, Any]:
    target = work.steps.recovery.target
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


def _counted(name: str, tables: list[TableRows]) -> dict[str, Any]:
    """Say in a line what a database holds: its largest tables, how many rows in all, and what was not counted."""
    known = sorted((t for t in tables if t.rows is not None), key=lambda t: -(t.rows or 0))
    words = [f"{t.table} {t.rows:,}" for t in known[:LARGEST_SHOWN]]
    total = sum(t.rows or 0 for t in known)
    tables_known = "1 table" if len(known) == 1 else f"{len(known):,} tables"
    words.append(f"{tables_known} with {total:,} row{'' if total == 1 else 's'} in all")
    if len(known) < len(tables):
        words.append(f"{len(tables) - len(known):,} not counted")
    if unlogged := sum(t.unlogged for t in tables):
        words.append(f"{unlogged:,} unlogged, which come back empty")
    return {
        "name": f"rows in {name}",
        "ok": True if len(known) == len(tables) else None,
        "detail": "; ".join(words),
    }

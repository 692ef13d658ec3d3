"""Fill: rows alone, into tables that exist and are empty, in one transaction of pg_restore's; nothing is dropped or renamed.

Whatever ends pg_restore before its commit, the tables are as empty as they were. After it they are full, and stay so: what is
found wrong then is said, and nothing is taken back, for by then the rows may have company.
"""

from __future__ import annotations

import time
from typing import Any

from bot import desk
from bot.errors import Conflict, Failed, PitstopError
from bot.model.destinations import EmptyTables
from bot.model.ids import RequestId
from bot.postgres.connect import Connection, quote_ident
from bot.postgres.empty_tables import in_the_way
from bot.postgres.maintenance import connect_beside, translated
from jobs.context import Cancelled
from jobs.restore import scratch
from jobs.restore.check import TABLES_KEPT, count, rows_line
from jobs.restore.load import load, wait_for_volumes
from jobs.restore.result import result
from jobs.restore.work import RestoreWork

_ENDING_S = 60.0
_AGAIN_S = 0.2


def fill(work: RestoreWork) -> dict[str, Any]:
    """Put the rows into their tables, count them, and report; see `jobs.restore.run` for the answer.

    An interrupted request looks first whether its rows are there already: all of them are, or none.

    Raises:
        Cancelled, Failed, Conflict, Unavailable, Corruption: as `jobs.restore.run`.
    """
    destination = work.steps.destination
    assert isinstance(destination, EmptyTables)
    end_earlier(work.dsn, work.request.id)
    wait_for_volumes(work)
    warnings = _fill(work, destination.database)
    done = result(work, warnings)
    work.say(lambda: desk.succeed(work.context.ledger, work.request.id, done, work.context.now()))
    work.forget()  # not before: who takes this up again has to know whose rows they are
    return done


def end_earlier(dsn: str, request: RequestId) -> None:
    """End what sessions an executor of this request has left on the server, and wait until they are gone. Idempotent."""
    name, deadline = f"pitstop restore {request}", time.monotonic() + _ENDING_S
    query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = %s"
    with connect_beside(dsn) as connection, translated():
        while connection.execute(query.encode(), [name]).fetchone() != (0,):
            if time.monotonic() > deadline:
                raise Conflict(
                    f"A session of an earlier run, {name}, does not end.",
                    hint="See pg_stat_activity on the server.",
                    code="session-left",
                )
            time.sleep(_AGAIN_S)


def _fill(work: RestoreWork, database: str) -> list[str]:
    warnings = list[str]()
    with work.session(database).connect() as connection:
        with translated():
            found = list(in_the_way(connection, work.contents.choice.entries))
        came = bool(found) and bool(work.remembered().get("began"))
        if found and not came:
            raise Failed(
                f"{found[0]} Nothing was done.", hint="Ask again, and the plan will say.", code="tables-not-ready"
            )
    if not came:
        work.remember({"checks": [], "tables": [], "tables_left_out": 0, "began": True})
        try:
            warnings = load(work, database, *_how(work))
        except (Cancelled, Failed):
            work.forget()
            raise
    work.context.phase("check")
    try:
        with work.session(database).connect() as connection, translated():
            found_rows = _look(work, connection)
        work.say_verifying()
    except PitstopError as error:
        what = "Tables had rows when this was taken up again" if came else f"The rows are in {database}, and stay there"
        error.hint = f"{what}; nothing is taken back. {error.hint}"
        raise
    work.remember({**found_rows, "began": True})
    return warnings


def _how(work: RestoreWork) -> list[str]:
    """Return pg_restore's options: one transaction, and no triggers where the role may turn them off."""
    with connect_beside(work.dsn) as connection, translated():
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    quiet = ["--disable-triggers"] if row is not None and row[0] else []
    return ["--data-only", "--single-transaction", *quiet]


def _look(work: RestoreWork, connection: Connection) -> dict[str, Any]:
    """Count, and gather statistics; nothing stops it, for the rows are there whatever is asked by now."""
    tables = count(work, connection, to_the_end=True)
    for table in work.contents.tables():
        if table.kind == "table":
            scratch.run(connection, f"ANALYZE {quote_ident(table.schema)}.{quote_ident(table.name)}")
    tables.sort(key=lambda one: -(one["rows"] or 0))
    return {
        "checks": [rows_line(work, tables)],
        "tables": tables[:TABLES_KEPT],
        "tables_left_out": max(0, len(tables) - TABLES_KEPT),
    }

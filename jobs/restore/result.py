"""What a restore answers once it is done: where it is, from what, and what the checks found."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from bot.model.destinations import EmptyTables, NewDatabase, NewSchema
from bot.model.runs import Phase
from bot.postgres.connect import dsn_fields, make_dsn
from jobs.restore.work import RestoreWork


def result(work: RestoreWork, warnings: list[str]) -> dict[str, Any]:
    """Return what came of the restore, as `jobs.restore.run` answers it."""
    now = work.context.now()
    going_to = work.steps.destination
    assert isinstance(going_to, NewDatabase | NewSchema | EmptyTables)
    found = work.remembered()
    found.pop("began", None)
    return {
        "database": going_to.database,
        "schema": going_to.schema if isinstance(going_to, NewSchema) else None,
        "dsn": _without_password(work.dsn, going_to.database),
        "backup": work.manifest.id,
        "from_database": work.what.database,
        "part": work.what.part.value,
        "chosen_tables": [table.full_name for table in work.what.tables],
        **found,
        "left_out": list(work.contents.choice.left_out),
        "warnings": warnings,
        "elsewhere": work.elsewhere,
        "seconds": round(time.monotonic() - work.began, 3),
        "phases": [_phase(phase, now) for phase in work.context.phases()],
        "bytes": work.plan.facts.backup_bytes,
    }


def _without_password(dsn: str, database: str) -> str:
    """Return how the restoring role reaches the database: without its user's name psql would try the login of whoever types."""
    kept = {
        key: value for key, value in dsn_fields(dsn).items() if key in {"host", "hostaddr", "port", "user", "sslmode"}
    }
    return make_dsn("", **{**kept, "dbname": database})


def _phase(phase: Phase, now: datetime) -> dict[str, Any]:
    seconds = phase.seconds if phase.seconds is not None else (now - phase.started_at).total_seconds()
    return {"name": phase.name, "seconds": round(seconds, 3)}

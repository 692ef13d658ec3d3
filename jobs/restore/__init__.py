"""The executor of a restore out of a dump: claim, create, restore, check, settle, report."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from bot import desk
from bot.errors import PitstopError
from bot.ledger import requests
from bot.model.destinations import NewDatabase
from bot.model.ids import RequestId
from bot.model.runs import Phase
from bot.postgres.connect import dsn_fields, make_dsn
from bot.postgres.maintenance import connect_beside
from jobs.context import JobContext
from jobs.restore import scratch
from jobs.restore.check import check
from jobs.restore.claim import claim
from jobs.restore.load import load
from jobs.restore.settle import finish_notes, settle, settled, take_back
from jobs.restore.work import RestoreWork, scratch_name

__all__ = ["clean", "run"]


def run(context: JobContext) -> dict[str, Any]:
    """Carry out the run's approved request and answer what `restore --json` prints.

    1. Claim: look again at everything the plan stands on, and take the request.
    2. Create: an empty database under a name of its own, made as the dumped one was.
    3. Restore: pg_restore, fed out of the repository; the first statement that fails ends it.
    4. Check: rows against the dump's counts, indexes, constraints, sequences, the configured SQL checks.
    5. Settle: the final name, or a copy into the new schema; one transaction of the server.
    6. Report.

    {"database", "schema", "dsn", "backup", "from_database", "part", "checks": [{"name", "ok", "detail"}], "tables": […],
    "tables_left_out", "left_out": […], "warnings": […], "seconds", "phases": [{"name", "seconds"}], "bytes"}

    An interrupted request starts over, unless it was settled already: then it is only reported. Whatever goes wrong after the
    claim, the unfinished database is gone before the request is FAILED or CANCELLED.

    Raises:
        Cancelled: the run was asked to stop, or the request was cancelled.
        Refused: the plan does not hold any more; the request is VOID and nothing was touched.
        Conflict, Unavailable: it could not be claimed now; the request stays APPROVED.
        Failed: a statement failed, or what came back is not what was dumped. Corruption: the dump is damaged.
    """
    work = claim(context)
    try:
        warnings = _restore(work) if not settled(work) else []
        scratch.remove(work, work.scratch)  # what an interrupted copy into a schema may have left
        result = _result(work, warnings)
        work.say(lambda: desk.succeed(context.ledger, work.request.id, result, context.now()))
    except BaseException as error:
        _undo(work, error)
        raise
    finish_notes(work)
    work.forget()
    return result


def clean(context: JobContext) -> dict[str, Any]:
    """Drop the unfinished database of `args["request"]`, whose executor was lost. Idempotent. Answers {"database", "state"}."""
    context.phase("remove")
    request = RequestId(str(context.run.args["request"]))
    with context.ledger.read() as tx:
        cluster = requests.get(tx, request).cluster
    name = scratch_name(request)
    with connect_beside(context.config.cluster(cluster).restoring, name) as connection:
        scratch.drop(connection, name)
    return {"database": name, "state": "removed"}


def _restore(work: RestoreWork) -> list[str]:
    work.context.phase("create")
    becomes = work.going_to.database
    scratch.make(work, work.scratch, becomes=becomes)
    warnings = load(work, work.scratch)
    work.say_verifying()
    work.remember(check(work, work.scratch))
    work.context.check_cancelled()
    settle(work)
    return warnings


def _undo(work: RestoreWork, error: BaseException) -> None:
    """Take back what was begun. Where it cannot be removed, `error` (when it is one of ours) says so."""
    work.context.note("Undoing what was begun")
    try:
        scratch.remove(work, work.scratch)
        take_back(work)
        work.forget()
    except (PitstopError, OSError) as trouble:
        if isinstance(error, PitstopError):
            error.hint = f"{error.hint} Besides, undoing failed: {trouble}".strip()


def _result(work: RestoreWork, warnings: list[str]) -> dict[str, Any]:
    now = work.context.now()
    going_to = work.going_to
    return {
        "database": going_to.database,
        "schema": None if isinstance(going_to, NewDatabase) else going_to.schema,
        "dsn": _without_password(work.settings.observe, going_to.database),
        "backup": work.manifest.id,
        "from_database": work.what.database,
        "part": work.what.part.value,
        **work.remembered(),
        "left_out": list(work.contents.choice.left_out),
        "warnings": warnings,
        "seconds": round(time.monotonic() - work.began, 3),
        "phases": [_phase(phase, now) for phase in work.context.phases()],
        "bytes": work.plan.facts.backup_bytes,
    }


def _without_password(dsn: str, database: str) -> str:
    """Return how people reach the database: where the server is, as themselves."""
    kept = {key: value for key, value in dsn_fields(dsn).items() if key in {"host", "hostaddr", "port", "sslmode"}}
    return make_dsn("", **{**kept, "dbname": database})


def _phase(phase: Phase, now: datetime) -> dict[str, Any]:
    seconds = phase.seconds if phase.seconds is not None else (now - phase.started_at).total_seconds()
    return {"name": phase.name, "seconds": round(seconds, 3)}

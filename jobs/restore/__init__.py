"""The executor of a restore out of a dump: claim, create, restore, check, settle, report."""

from __future__ import annotations

from typing import Any

from bot import desk
from bot.errors import PitstopError
from bot.ledger import requests
from bot.model.destinations import EmptyTables
from bot.model.ids import RequestId
from bot.postgres.maintenance import connect_beside
from jobs.context import JobContext
from jobs.restore import scratch
from jobs.restore.check import check
from jobs.restore.claim import claim
from jobs.restore.fill import end_earlier, fill
from jobs.restore.load import load, wait_for_volumes
from jobs.restore.result import result
from jobs.restore.settle import finish_notes, settle, settled, take_back
from jobs.restore.work import RestoreWork, scratch_name

__all__ = ["clean", "run"]


def run(context: JobContext) -> dict[str, Any]:
    """Carry out the run's approved request and answer what `restore --json` prints.

    1. Claim: look again at everything the plan stands on, and take the request.
    2. Wait for a dump that is in Glacier. Create: an empty database under a name of its own, made as the dumped one was.
    3. Restore: pg_restore, fed out of the repository; the first statement that fails ends it.
    4. Check: rows against the dump's counts, indexes, constraints, sequences, the configured SQL checks.
    5. Settle: the final name, or a copy into the new schema; one transaction of the server.
    6. Report.

    Rows alone, into tables that exist, go another way (`jobs.restore.fill`): nothing is made, named or dropped there.

    {"database", "schema", "dsn", "backup", "from_database", "part", "chosen_tables": [names; none: all],
    "checks": [{"name", "ok", "detail"}], "tables": […], "tables_left_out", "left_out": […], "warnings": […], "seconds",
    "phases": [{"name", "seconds"}], "bytes"}

    An interrupted request starts over, unless it was settled already: then it is only reported. Whatever goes wrong after the
    claim, the unfinished database is gone before the request is FAILED or CANCELLED.

    Raises:
        Cancelled: the run was asked to stop, or the request was cancelled.
        Refused: the plan does not hold any more; the request is VOID and nothing was touched.
        Conflict, Unavailable: it could not be claimed now; the request stays APPROVED.
        Failed: a statement failed, or what came back is not what was dumped. Corruption: the dump is damaged.
    """
    work = claim(context)
    if isinstance(work.steps.destination, EmptyTables):
        return fill(work)
    try:
        warnings = _restore(work) if not settled(work) else []
        scratch.remove(work, work.scratch)  # what an interrupted copy into a schema may have left
        found = result(work, warnings)
        work.say(lambda: desk.succeed(context.ledger, work.request.id, found, context.now()))
    except BaseException as error:
        _undo(work, error)
        raise
    finish_notes(work)
    work.forget()
    return found


def clean(context: JobContext) -> dict[str, Any]:
    """Drop the unfinished database of `args["request"]`, whose executor was lost. Idempotent. Answers {"database", "state"}."""
    context.phase("remove")
    request = RequestId(str(context.run.args["request"]))
    with context.ledger.read() as tx:
        cluster = requests.get(tx, request).cluster
    name = scratch_name(request)
    end_earlier(context.config.cluster(cluster).restoring, request)
    with connect_beside(context.config.cluster(cluster).restoring, name) as connection:
        scratch.drop(connection, name)
    return {"database": name, "state": "removed"}


def _restore(work: RestoreWork) -> list[str]:
    wait_for_volumes(work)
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

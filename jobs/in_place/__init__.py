"""The executor of swaps: a restore in place, and the undo that brings the old database back."""

from __future__ import annotations

import time
from typing import Any

from bot import desk
from bot.errors import Conflict, Failed, PitstopError
from bot.ledger import kept as rows
from bot.ledger import requests
from bot.model.ids import RequestId
from bot.model.kept import Kept
from bot.model.swaps import Standing, Swap, SwapStep
from bot.postgres.maintenance import connect_beside, database_oids
from jobs.context import JobContext
from jobs.in_place.around import Around, AroundFailed
from jobs.in_place.change import Change, change_over, record_kept, take_back
from jobs.in_place.claim import claim
from jobs.in_place.work import SwapWork
from jobs.restore import scratch
from jobs.restore.check import check
from jobs.restore.load import load

__all__ = ["put_back", "run"]


def run(context: JobContext) -> dict[str, Any]:
    """Carry out the run's approved request and answer what `restore --in-place --json` prints.

    1. Claim: look again at everything the plan stands on, and take the request.
    2. Restore beside, into a database under a name of its own, and check it. An undo has its database already.
    3. Stop: the commands before. One that fails or hangs ends it here; those after run, and nothing has changed.
    4. Swap: both databases change names in one transaction of the server; the old one is kept, closed to sessions.
    5. Start: the commands after. One that fails is told, and undo offered.
    6. Health: the page is asked; where it is not well the swap is taken back, if the plan says so, else undo is offered.
    7. Report.

    {"database", "kept", "kept_until", "backup", "checks": [{"name", "ok", "detail"}], "hooks": […], "logs": [{"name", "text"}],
    "sessions_ended", "door_s", "warnings", "seconds", "phases": [{"name", "seconds"}], …}

    Each step is journalled before it begins. An interrupted request goes on from there: what was restored and checked is not
    restored again, and a swap that happened is not repeated. Whatever goes wrong, one whole database has the name and serves;
    the error says which.

    Raises:
        Cancelled: the run was asked to stop, or the request was cancelled; the database of before serves.
        Refused: the plan does not hold any more; the request is VOID and nothing was touched.
        Conflict, Unavailable: it could not be claimed now; the request stays APPROVED.
        Failed: it did not work; the database of before serves.
    """
    work = claim(context)
    around = Around(work)
    try:
        swap = _left(work)
        swap, extra = (swap, work.remembered()) if swap is not None else _ready(work)
        change = change_over(work, around, swap)
        if change.healthy is False and work.hooks.undo_unless_healthy:
            raise _unwell(change)
        work.say_verifying()
        record_kept(work, swap)
        result = _result(work, around, change, extra)
        work.journal(SwapStep.DONE, swap)
        work.say(lambda: desk.succeed(context.ledger, work.request.id, result, context.now()))
    except BaseException as error:
        _put_right(work, around, error)
        raise
    work.forget()
    return result


def put_back(context: JobContext) -> dict[str, Any]:
    """Clear up after a lost executor of the request `args["request"]`: the database that serves goes on, the application starts.

    Idempotent. A swap that had happened stays: what is kept is recorded, so that undo can be asked for. One that had not leaves
    no half restored database. Answers {"database", "serving", "hooks"}.
    """
    request_id = RequestId(str(context.run.args["request"]))
    with context.ledger.read() as tx:
        request = requests.get(tx, request_id)
    work = SwapWork(context, request)
    around, found = Around(work), work.journalled()
    context.phase("put back")
    step, swap = found if found is not None else (SwapStep.RESTORE, None)
    if swap is not None and step is SwapStep.PUT_BACK:
        take_back(work, around, swap)
        return {"database": work.place.database, "serving": "as before", "hooks": around.said}
    after = swap is not None and work.standing(swap) is Standing.AFTER
    if swap is not None and after:
        record_kept(work, swap)
    if step.application_stopped:
        around.start()
    if not after and work.restores:
        scratch.remove(work, work.scratch)
    work.journal(SwapStep.DONE, swap)
    return {"database": work.place.database, "serving": "the other" if after else "as before", "hooks": around.said}


def _left(work: SwapWork) -> Swap | None:
    """Return the swap that an earlier run of this request prepared, or None: it has to be prepared.

    Raises:
        Failed: `put-back`: that run was taking it back, which is then finished.
    """
    found = work.journalled()
    if found is not None and found[0] is SwapStep.PUT_BACK:
        raise Failed("It was being put back when it was interrupted.", hint="Ask again.", code="put-back")
    return found[1] if found is not None else None


def _ready(work: SwapWork) -> tuple[Swap, dict[str, Any]]:
    """Return the swap and what is known of the database that comes; a restore restores and checks it first."""
    if not work.restores:
        assert work.place.incoming_oid is not None, "an undo knows its database"
        return work.swap_of(work.place.incoming_oid), {}
    work.journal(SwapStep.RESTORE)
    work.context.phase("create")
    scratch.make(work, work.scratch, becomes=work.place.database)
    warnings = load(work, work.scratch)
    extra = {**check(work, work.scratch), "warnings": warnings}
    work.remember(extra)
    work.context.check_cancelled()
    with connect_beside(work.dsn, work.scratch) as connection:
        oid = database_oids(connection)[work.scratch]
    return work.swap_of(oid), extra


def _put_right(work: SwapWork, around: Around, error: BaseException) -> None:
    """Let the database of before serve and the application run; say in `error`, when it is one of ours, which serves."""
    work.context.note("Putting back what was begun")
    name = work.place.database
    try:
        found = work.journalled()
        known = found[1] if found is not None else None
        if known is not None:
            take_back(work, around, known)
        if work.restores:
            scratch.remove(work, work.scratch)
        work.forget()
        serving = f"The database {name} of before serves."
    except (PitstopError, OSError) as trouble:
        serving = (
            f"Putting it back failed, too: {trouble} Whichever database has the name {name} is whole and serves;"
            " docs/in-place.md says how to look and what to do."
        )
    if isinstance(error, PitstopError):
        error.message = f"{error.message} {serving}"
    if isinstance(error, AroundFailed):
        error.told = {"hooks": around.said, "logs": around.logs()}


def _unwell(change: Change) -> AroundFailed:
    said = next((str(c["detail"]) for c in reversed(change.checks) if c["name"] == "the application is well"), "")
    return AroundFailed(
        f"The application was not well after the swap ({said}), so it was taken back.",
        hint="Its log and the server's are in the thread. What was restored is kept for a while as undone.",
        code="unhealthy",
    )


def _result(work: SwapWork, around: Around, change: Change, extra: dict[str, Any]) -> dict[str, Any]:
    kept = _kept(work)
    now = work.context.now()
    phases = [
        {
            "name": p.name,
            "seconds": round(p.seconds if p.seconds is not None else (now - p.started_at).total_seconds(), 3),
        }
        for p in work.context.phases()
    ]
    found = {"checks": [], "tables": [], "tables_left_out": 0, **extra}
    return {
        **found,
        "database": work.place.database,
        "kept": kept.name,
        "kept_until": kept.remove_at.isoformat(),
        "backup": work.steps.chain[-1].backup if work.steps.chain else None,
        "checks": [*found["checks"], *change.checks],
        "warnings": [*found.get("warnings", []), *change.warnings],
        "elsewhere": work.elsewhere,
        "hooks": around.said,
        "logs": around.logs(),
        "sessions_ended": change.ended.sessions,
        "door_s": round(change.ended.seconds, 3),
        "seconds": round(time.monotonic() - work.began, 3),
        "phases": phases,
    }


def _kept(work: SwapWork) -> Kept:
    with work.context.ledger.read() as tx:
        kept = rows.find(tx, work.request.id)
    if kept is None:
        raise Conflict(f"What request {work.request.id} keeps was not recorded.", code="unknown-kept")
    return kept

"""Runs: queued with their locks, started, ended; a request that stands on a run follows its end in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.desk.alerting import observe_in
from bot.desk.change import PITSTOP, change
from bot.desk.queueing import enqueue
from bot.ledger import attachments, audit, cards, locks, requests, runs
from bot.ledger.database import Ledger, Tx
from bot.model import run_transitions, transitions
from bot.model.failures import concern_of, judged_by
from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.requests import Request, State
from bot.model.runs import Job, Phase, Run, RunState


def queue_run(
    ledger: Ledger,
    *,
    job: Job,
    cluster: ClusterName,
    args: dict[str, Any],
    by: str,
    at: datetime,
    entropy: bytes,
    request: RequestId | None = None,
    scheduled_for: str | None = None,
) -> Run:
    """Queue a run and take its named locks. `by` is a `Person.key`, or "pitstop" for the schedule.

    Raises:
        Conflict: another run holds a lock it needs (code "locked"), or this occurrence was queued before ("already-scheduled").
    """
    with ledger.transaction() as tx:
        standing_on = requests.get(tx, request) if request else None
        return enqueue(
            tx,
            job=job,
            cluster=cluster,
            args=args,
            by=by,
            at=at,
            entropy=entropy,
            request=standing_on,
            scheduled_for=scheduled_for,
        )


def start_run(ledger: Ledger, run_id: RunId, at: datetime, process: dict[str, Any] | None = None) -> Run:
    """Mark a queued run RUNNING. `process` is the identity for signals. The caller holds the run's kernel lock.

    Raises:
        Conflict: it is not queued any more.
    """
    with ledger.transaction() as tx:
        run = run_transitions.start_run(runs.get(tx, run_id), at)
        runs.update(tx, run)
        if process is not None:
            runs.set_process(tx, run_id, process)
        audit.append(tx, at, PITSTOP, "run.start", run_id, {"job": run.job.value})
        cards.bump(tx, "run", run_id)
        return run


def progress(
    ledger: Ledger,
    run_id: RunId,
    *,
    at: datetime,
    phases: Sequence[Phase],
    bytes_done: int,
    bytes_total: int | None,
    note: str = "",
) -> Run:
    """Write how far a running run is; at most once a second is the caller's affair. Not audited."""
    with ledger.transaction() as tx:
        run = run_transitions.advance(
            runs.get(tx, run_id), at=at, phases=phases, bytes_done=bytes_done, bytes_total=bytes_total, note=note
        )
        runs.update(tx, run)
        cards.bump(tx, "run", run_id)
        return run


def finish_run(ledger: Ledger, run_id: RunId, result: dict[str, Any], at: datetime) -> Run:
    """End a run well and drop its locks."""
    with ledger.transaction() as tx:
        return _end(tx, run_transitions.finish_run(runs.get(tx, run_id), result, at), at)


def fail_run(ledger: Ledger, run_id: RunId, error: dict[str, Any], at: datetime) -> Run:
    """End a run badly and drop its locks; a request planned or executed by it is REFUSED or FAILED with the same error."""
    with ledger.transaction() as tx:
        return _end(tx, run_transitions.fail_run(runs.get(tx, run_id), error, at), at)


def interrupt_run(ledger: Ledger, run_id: RunId, at: datetime, why: str = "") -> Run:
    """Say that a run's kernel lock is free although it did not finish; drop its locks. Its request is INTERRUPTED with it."""
    with ledger.transaction() as tx:
        return _end(tx, run_transitions.interrupt_run(runs.get(tx, run_id), at, why), at)


def cancel_run(ledger: Ledger, run_id: RunId, at: datetime, why: str = "") -> Run:
    """End a run that was asked to stop, and drop its locks."""
    with ledger.transaction() as tx:
        return _end(tx, run_transitions.cancel_run(runs.get(tx, run_id), at, why), at)


_VERBS = {
    RunState.SUCCEEDED: "run.finish",
    RunState.FAILED: "run.fail",
    RunState.INTERRUPTED: "run.interrupt",
    RunState.CANCELLED: "run.cancel",
}


def _end(tx: Tx, run: Run, at: datetime) -> Run:
    runs.update(tx, run)
    locks.drop(tx, run.id)
    audit.append(tx, at, PITSTOP, _VERBS[run.state], run.id, {"job": run.job.value, "error": run.error})
    if run.request is not None and run.job.of_request:
        _follow(tx, requests.get(tx, run.request), run, at)
    elif run.job is Job.DRILL and run.state is RunState.SUCCEEDED:
        cards.want(tx, "run", run.id, f"thread:run:{run.id}")  # the checklist
    elif (
        run.job in {Job.RETENTION, Job.SCRUB, Job.SYNC}
        and run.state is RunState.SUCCEEDED
        and (run.result or {}).get("news")
    ):
        cards.want(tx, "run", run.id, "results")
    elif run.job is Job.DIGEST and run.state is RunState.SUCCEEDED:
        cards.want(tx, "run", run.id, "results")
        if attachments.find(tx, run.id) is not None:
            cards.want(tx, "file", run.id, f"thread:run:{run.id}")
    elif run.job is Job.REHEARSAL and run.state is RunState.SUCCEEDED:
        cards.want(tx, "run", run.id, "results")
    concern = concern_of(run)
    observe_in(tx, [concern] if concern else [], judged_by(run), at)
    cards.bump(tx, "run", run.id, urgent=True)
    return run


def _follow(tx: Tx, request: Request, run: Run, at: datetime) -> None:
    """Let a request share the end of the run it stood on, where the run left it without an end of its own."""
    if request.run != run.id or request.state not in {State.PLANNING, State.RUNNING, State.VERIFYING}:
        return
    error = run.error or {"code": "no-outcome", "message": f"The {run.job.value} run ended without a word.", "hint": ""}
    if run.state in {RunState.INTERRUPTED, RunState.CANCELLED}:
        after, verb = transitions.interrupt(request, at, error["message"]), "interrupt"
    elif request.state is State.PLANNING:
        after, verb = transitions.refuse(request, error, at), "refuse"
    else:
        after, verb = transitions.fail(request, error, at), "fail"
    change(tx, request, after, verb=verb, actor=PITSTOP, at=at, detail={"run": run.id, "error": error})

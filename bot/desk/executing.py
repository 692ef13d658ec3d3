"""What the executor and its supervisor say about a claimed request: verifying, succeeded, failed, interrupted, resumed, void."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.desk.change import PITSTOP, change
from bot.desk.queueing import enqueue
from bot.ledger import requests
from bot.ledger.database import Ledger
from bot.model import transitions
from bot.model.ids import RequestId, run_id
from bot.model.requests import Request, State
from bot.model.runs import Job, Run


def verifying(ledger: Ledger, request_id: RequestId, at: datetime) -> Request:
    """Say that recovery is done and checks run: RUNNING → VERIFYING."""
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        return change(tx, before, transitions.verify(before, at), verb="verify", actor=PITSTOP, at=at)


def succeed(ledger: Ledger, request_id: RequestId, result: dict[str, Any], at: datetime) -> Request:
    """End well: VERIFYING → SUCCEEDED; `result` is JSON for people and scripts."""
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        after = transitions.succeed(before, result, at)
        return change(tx, before, after, verb="succeed", actor=PITSTOP, at=at, detail={"result": result})


def fail(ledger: Ledger, request_id: RequestId, error: dict[str, Any], at: datetime) -> Request:
    """End badly: RUNNING, VERIFYING or INTERRUPTED → FAILED; `error` is an error's `as_json()`."""
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        after = transitions.fail(before, error, at)
        return change(tx, before, after, verb="fail", actor=PITSTOP, at=at, detail={"error": error})


def interrupt(ledger: Ledger, request_id: RequestId, at: datetime, why: str = "") -> Request:
    """Say that the process died: PLANNING, RUNNING or VERIFYING → INTERRUPTED."""
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        after = transitions.interrupt(before, at, why)
        return change(tx, before, after, verb="interrupt", actor=PITSTOP, at=at, detail={"why": why})


def resume(ledger: Ledger, request_id: RequestId, *, at: datetime, entropy: bytes) -> Run:
    """Take an interrupted request up again: back to the state it left, with a new queued run (plan or execute) and its locks."""
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        job = Job.PLAN if before.resume_state is State.PLANNING else Job.EXECUTE
        after = transitions.resume(before, run_id(job, at=at, entropy=entropy), at)
        change(tx, before, after, verb="resume", actor=PITSTOP, at=at, detail={"run": after.run})
        return enqueue(tx, job=job, cluster=after.cluster, args={}, by=PITSTOP, at=at, entropy=entropy, request=after)


def void(ledger: Ledger, request_id: RequestId, reasons: Sequence[str], at: datetime) -> Request:
    """Say that an approved request is no longer as planned, and why: APPROVED → VOID. `claim` does this by itself."""
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        after = transitions.void(before, reasons, at)
        return change(tx, before, after, verb="void", actor=PITSTOP, at=at, detail={"reasons": list(reasons)})

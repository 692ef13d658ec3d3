"""Put a run in the queue with its named locks, inside the transaction of whatever asked for it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.ledger import audit, cards, locks, runs
from bot.ledger.database import Tx
from bot.model.ids import ClusterName, run_id
from bot.model.locks import Held, Locked, blocking, needed
from bot.model.requests import Request
from bot.model.runs import Job, Run, RunState


def enqueue(
    tx: Tx,
    *,
    job: Job,
    cluster: ClusterName,
    args: dict[str, Any],
    by: str,
    at: datetime,
    entropy: bytes,
    request: Request | None = None,
    scheduled_for: str | None = None,
) -> Run:
    """Insert a QUEUED run and take its locks.

    Raises:
        Conflict: the occurrence was queued before (looked at first), or a lock is held.
    """
    run = Run(
        id=run_id(job, at=at, entropy=entropy),
        job=job,
        cluster=cluster,
        state=RunState.QUEUED,
        version=1,
        args=args,
        queued_at=at,
        queued_by=by,
        request=request.id if request else None,
        scheduled_for=scheduled_for,
    )
    runs.insert(tx, run)
    wanted = needed(job, cluster, request=run.request, plan=request.plan if request else None, args=args)
    holder = blocking(wanted, locks.held(tx), run.request)
    if holder is not None:
        raise _locked(tx, run, holder)
    locks.take(tx, run.id, wanted)
    audit.append(tx, at, by, "run.queue", run.id, {"job": job.value, "cluster": cluster, "request": run.request})
    if job in {Job.BASE_BACKUP, Job.DUMP, Job.DRILL}:
        cards.want(tx, "run", run.id, "results")
    return run


def _locked(tx: Tx, run: Run, holder: Held) -> Locked:
    other = runs.get(tx, holder.run)
    before = "another one" if other.job is run.job else _a(other.job)
    both = "" if holder.lock.kind == "cluster" else f" Both need {holder.lock.name.replace(':', ' ', 1)}."
    return Locked(
        f"Nothing was queued: {_a(run.job)} of {run.cluster} cannot begin before {before} ({other.id}) has ended.{both}",
        hint=f"Ask again when it has; `pitstop status {other.cluster}` shows how far it is.",
    )


def _a(job: Job) -> str:
    return f"an {job.words}" if job.words[0] in "aeiou" else f"a {job.words}"

"""Runs as rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import Any

from bot.errors import Conflict, Usage
from bot.ledger.database import Tx, iso, parse_iso
from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.runs import Job, Phase, Run, RunState

_UNFINISHED = (RunState.QUEUED, RunState.RUNNING)


def insert(tx: Tx, run: Run) -> None:
    """Write a new run.

    Raises:
        Conflict: the job was queued for this occurrence before (`UNIQUE(job, cluster, scheduled_for)`).
    """
    row = _row(run)
    columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    try:
        tx.execute(f"INSERT INTO runs ({columns}) VALUES ({marks})", row)  # noqa: S608 - the names are ours
    except sqlite3.IntegrityError as error:
        if "runs.scheduled_for" not in str(error):
            raise
        raise Conflict(
            f"The {run.job} of {run.cluster} due {run.scheduled_for} was queued before.", code="already-scheduled"
        ) from error


def update(tx: Tx, run: Run) -> None:
    """Write a changed run over the version before it (`run.version` - 1).

    Raises:
        Conflict: somebody else changed it first.
    """
    row = _row(run)
    changes = ", ".join(f"{name} = :{name}" for name in row if name != "id")
    sql = f"UPDATE runs SET {changes} WHERE id = :id AND version = :before"  # noqa: S608 - the names are ours
    if tx.execute(sql, {**row, "before": run.version - 1}).rowcount != 1:
        raise Conflict(f"Run {run.id} changed at the same moment.", hint="Look at it again.", code="changed")


def get(tx: Tx, run_id: RunId) -> Run:
    """Return one run.

    Raises:
        Usage: there is none of that id.
    """
    row = next(tx.query("SELECT * FROM runs WHERE id = ?", [run_id]), None)
    if row is None:
        raise Usage(f"There is no run {run_id}.", hint="`pitstop status` lists the latest ones.", code="unknown-run")
    return _run(row)


def recent(
    tx: Tx,
    *,
    cluster: ClusterName | None = None,
    jobs: Collection[Job] = tuple(Job),
    states: Collection[RunState] = tuple(RunState),
    request: RequestId | None = None,
    limit: int = 50,
) -> list[Run]:
    """Return runs that match, newest first."""
    sql = (
        f"SELECT * FROM runs WHERE (:cluster IS NULL OR cluster = :cluster) AND (:request IS NULL OR request = :request)"  # noqa: S608
        f" AND job IN {_words(jobs)} AND state IN {_words(states)} ORDER BY queued_at DESC, id DESC LIMIT :limit"
    )
    return [_run(row) for row in tx.query(sql, {"cluster": cluster, "request": request, "limit": limit})]


def counts(tx: Tx) -> list[tuple[str, str, str, int]]:
    """Return how many runs there are, as (cluster, job, state, number)."""
    rows = tx.query("SELECT cluster, job, state, count(*) AS number FROM runs GROUP BY cluster, job, state")
    return [(row["cluster"], row["job"], row["state"], row["number"]) for row in rows]


def newest(tx: Tx, cluster: ClusterName) -> dict[Job, Run]:
    """Return the newest run of each job of a cluster that ever ran."""
    found = (recent(tx, cluster=cluster, jobs=(job,), limit=1) for job in Job)
    return {run.job: run for runs in found for run in runs}


def unfinished(tx: Tx) -> list[Run]:
    """Return every run that is queued or running, oldest first: what a supervisor looks after."""
    sql = f"SELECT * FROM runs WHERE state IN {_words(_UNFINISHED)} ORDER BY queued_at, id"  # noqa: S608
    return [_run(row) for row in tx.query(sql)]


def unwanted(tx: Tx) -> list[Run]:
    """Return running runs whose request ended without them (cancelled, expired): the supervisor signals them to stop."""
    sql = (
        "SELECT runs.* FROM runs JOIN requests ON requests.id = runs.request AND requests.run = runs.id"
        " WHERE runs.state = 'running' AND requests.state IN ('cancelled', 'expired') ORDER BY runs.queued_at"
    )
    return [_run(row) for row in tx.query(sql)]


def scheduled(tx: Tx, job: Job, cluster: ClusterName) -> set[str]:
    """Return every `scheduled_for` that was queued for this job and cluster."""
    sql = "SELECT scheduled_for FROM runs WHERE job = ? AND cluster = ? AND scheduled_for IS NOT NULL"
    return {str(row["scheduled_for"]) for row in tx.query(sql, [job.value, cluster])}


def set_process(tx: Tx, run_id: RunId, process: dict[str, Any]) -> None:
    """Keep the identity of the process that carries a run out, for signals; never for liveness."""
    tx.execute("UPDATE runs SET process = ? WHERE id = ?", [json.dumps(process), run_id])


def process(tx: Tx, run_id: RunId) -> dict[str, Any] | None:
    """Return what `set_process` kept, or None."""
    row = tx.execute("SELECT process FROM runs WHERE id = ?", [run_id]).fetchone()
    return json.loads(row[0]) if row and row[0] else None


def _words(values: Collection[Job] | Collection[RunState]) -> str:
    return "(" + ", ".join(f"'{value.value}'" for value in values) + ")"


def _row(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "job": run.job.value,
        "cluster": run.cluster,
        "state": run.state.value,
        "version": run.version,
        "args": json.dumps(run.args, ensure_ascii=False),
        "queued_at": iso(run.queued_at),
        "queued_by": run.queued_by,
        "request": run.request,
        "scheduled_for": run.scheduled_for,
        "started_at": iso(run.started_at) if run.started_at else None,
        "finished_at": iso(run.finished_at) if run.finished_at else None,
        "progress_at": iso(run.progress_at) if run.progress_at else None,
        "phases": json.dumps([[p.name, iso(p.started_at), p.seconds] for p in run.phases], ensure_ascii=False),
        "bytes_done": run.bytes_done,
        "bytes_total": run.bytes_total,
        "note": run.note,
        "result": _text(run.result),
        "error": _text(run.error),
    }


def _run(row: dict[str, Any]) -> Run:
    queued_at = parse_iso(row["queued_at"])
    assert queued_at is not None
    return Run(
        id=RunId(row["id"]),
        job=Job(row["job"]),
        cluster=ClusterName(row["cluster"]),
        state=RunState(row["state"]),
        version=row["version"],
        args=json.loads(row["args"]),
        queued_at=queued_at,
        queued_by=row["queued_by"],
        request=RequestId(row["request"]) if row["request"] else None,
        scheduled_for=row["scheduled_for"],
        started_at=parse_iso(row["started_at"]),
        finished_at=parse_iso(row["finished_at"]),
        progress_at=parse_iso(row["progress_at"]),
        phases=tuple(_phase(*phase) for phase in json.loads(row["phases"])),
        bytes_done=row["bytes_done"],
        bytes_total=row["bytes_total"],
        note=row["note"],
        result=json.loads(row["result"]) if row["result"] else None,
        error=json.loads(row["error"]) if row["error"] else None,
    )


def _phase(name: str, started_at: str, seconds: float | None) -> Phase:
    started = parse_iso(started_at)
    assert started is not None
    return Phase(name, started, seconds)


def _text(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)

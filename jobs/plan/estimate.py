"""How long will it take? Judged by the last recoveries of the same cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.ledger import runs
from bot.ledger.database import Ledger
from bot.model.amounts import size
from bot.model.ids import ClusterName
from bot.model.runs import Job, Run, RunState

_FLOOR_S = 3.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds (None: no history) and the sentence that says where they come from."""

    seconds: float | None
    basis: str


def estimate(ledger: Ledger | None, cluster: ClusterName, work_bytes: int, *, verb: str = "pitr") -> Estimate:
    """Return how long restoring `work_bytes` takes at the pace of the latest recovery (files and WAL), or restore of a dump.

    What was restored for a drill counts as well.
    """
    noun = "recovery" if verb == "pitr" else "restore"
    for run in _past(ledger, cluster):
        result = _timed(run, verb)
        seconds, done = float(result.get("seconds", 0)), int(result.get("bytes", 0)) + int(result.get("wal_bytes", 0))
        if seconds > 0 and done > 0 and run.finished_at is not None:
            pace = max(seconds - _FLOOR_S, 0.1) / done
            what = "drill" if run.job is Job.DRILL else noun
            basis = f"judging by the {what} of {run.finished_at:%Y-%m-%d}, {size(done)} in {seconds:.0f} s"
            return Estimate(_FLOOR_S + pace * work_bytes, basis)
    return Estimate(None, f"no {noun} of this cluster was timed yet")


def _timed(run: Run, verb: str) -> dict[str, Any]:
    """Return the part of a run's result that says how much of this kind was restored, and how long that took."""
    result = run.result or {}
    if run.job is Job.DRILL:
        kind = "base" if verb == "pitr" else "dump"
        return next((proof for proof in result.get("proofs", ()) if proof["kind"] == kind), {})
    return result if ("database" in result) is (verb == "restore") else {}


def _past(ledger: Ledger | None, cluster: ClusterName) -> list[Run]:
    if ledger is None:
        return []
    with ledger.read() as tx:
        return runs.recent(tx, cluster=cluster, jobs=(Job.EXECUTE, Job.DRILL), states=(RunState.SUCCEEDED,), limit=20)

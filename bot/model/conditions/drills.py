"""Drills: the last one too long ago, too many that fail, and restores slower than the objective. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.model.alerts import Concern, Severity
from bot.model.amounts import span
from bot.model.runs import Job, Run, RunState

COUNTED = 10
"""Of how many drills the success rate is made, and at least `COUNTED_AT_LEAST`."""
COUNTED_AT_LEAST = 3


@dataclass(frozen=True, slots=True)
class Drills:
    """A cluster's drills that ended, newest first; scheduled since `counted_since`, at most `every` apart."""

    cluster: str
    runs: Sequence[Run]
    counted_since: datetime
    every: timedelta


def drill_age(drills: Drills, *, most: timedelta, now: datetime) -> list[Concern]:
    """Say that the last drill that succeeded is older than it may be, or than the time between two of them."""
    good = next((run for run in drills.runs if proved(run)), None)
    last = good.finished_at if good else None
    limit = max(most, drills.every + timedelta(days=1))
    if now - (last or drills.counted_since) <= limit:
        return []
    told = f"was {span(now - last)} ago" if last else "has yet to come"
    sentence = f"The last drill of {drills.cluster} that succeeded {told}: nobody knows whether its backups restore."
    fix = f"pitstop verify {drills.cluster}"
    return [Concern("drill-age", drills.cluster, "", Severity.WARN, sentence, fix)]


def drill_rate(drills: Drills, *, least: float) -> list[Concern]:
    """Say that fewer than `least` (a share) of the last ten drills succeeded."""
    counted = [run for run in drills.runs if run.state in {RunState.SUCCEEDED, RunState.FAILED, RunState.INTERRUPTED}]
    counted = counted[:COUNTED]
    good = sum(proved(run) for run in counted)
    if len(counted) < COUNTED_AT_LEAST or good >= least * len(counted):
        return []
    sentence = f"Of the last {len(counted)} drills of {drills.cluster} {good} succeeded."
    fix = f"Their reports say why: pitstop verify {drills.cluster}"
    return [Concern("drill-rate", drills.cluster, "", Severity.WARN, sentence, fix)]


def rto(cluster: str, restores: Sequence[Run], *, target: timedelta, maximum: timedelta) -> list[Concern]:
    """Say that the last measured restore took longer than the objective: past its target warn, past its maximum page."""
    last = next((run for run in restores if proved(run)), None)
    took = duration(last) if last else None
    if last is None or took is None or took <= target:
        return []
    late = maximum if took > maximum else target
    word = "maximum" if took > maximum else "target"
    sentence = f"The last restore of {cluster} took {span(took)}, more than the {word} of {span(late)}."
    fix = f"Which phase is slow? Run {last.id} says; a faster disk, more workers, or a newer base backup help."
    severity = Severity.PAGE if took > maximum else Severity.WARN
    return [Concern("rto", cluster, "", severity, sentence, fix, occurrence=last.id)]


def proved(run: Run) -> bool:
    """Say whether a restore came to a good end; a drill that ended and found something wrong did not."""
    return run.state is RunState.SUCCEEDED and (run.job is not Job.DRILL or bool((run.result or {}).get("ok")))


def of_now(run: Run) -> bool:
    """Say whether a drill tells of the backups there are now; one of an older backup that somebody named does not."""
    if run.job is not Job.DRILL or run.args.get("backup") in {None, "latest"}:
        return True
    return any(proof.get("newest") is True for proof in (run.result or {}).get("proofs", []) if isinstance(proof, dict))


def duration(run: Run) -> timedelta | None:
    """Return how long a restore took: the slowest of a drill's, else what it measured itself, else the run as a whole."""
    result = run.result or {}
    proofs = [proof.get("seconds") for proof in result.get("proofs", []) if isinstance(proof, dict)]
    seconds = max((took for took in proofs if isinstance(took, int | float)), default=result.get("seconds"))
    if isinstance(seconds, int | float):
        return timedelta(seconds=seconds)
    return run.finished_at - run.started_at if run.finished_at and run.started_at else None

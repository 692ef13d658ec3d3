"""After a drill that was killed: a run that clears its scratch servers away, which hold a copy of production's data."""

from __future__ import annotations

import contextlib

import structlog

from bot.errors import Conflict
from bot.ledger import runs
from bot.model.ids import ClusterName
from bot.model.runs import Job, Run, RunState
from bot.process.place import Place

log = structlog.get_logger("pitstop.supervisor")


def clear_after_drills(place: Place) -> list[Run]:
    """Queue a clearing for each cluster whose newest drill was interrupted and not followed by anything. Idempotent."""
    queued = []
    for name in place.config.clusters:
        cluster = ClusterName(name)
        with place.ledger.read() as tx:
            newest = runs.recent(tx, cluster=cluster, jobs=(Job.DRILL, Job.DRILL_CLEAN), limit=1)
        if newest and newest[0].job is Job.DRILL and newest[0].state is RunState.INTERRUPTED:
            with contextlib.suppress(Conflict):
                queued.append(_queue(place, newest[0]))
    return queued


def _queue(place: Place, drill: Run) -> Run:
    run = place.queue(Job.DRILL_CLEAN, drill.cluster, {"after": drill.id})
    log.info("clearing away", cluster=drill.cluster, interrupted=drill.id, run=run.id)
    return run

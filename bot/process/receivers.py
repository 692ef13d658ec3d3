"""One WAL receiver per cluster, always: restarted with back-off, and by a bot of another version."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from bot import __version__
from bot.errors import Conflict
from bot.ledger import runs
from bot.model.ids import ClusterName
from bot.model.runs import Job, Run, RunState
from bot.process.place import Place
from bot.process.watching import Watch

REMEMBERED = 8
STEADY = timedelta(minutes=5)
LONGEST = timedelta(minutes=1)


def keep_receivers(place: Place, watch: Watch) -> None:
    """Queue a receiver for each cluster that lacks one, once its back-off is over; end those that do not belong.

    Receivers of another version, or of a cluster no longer configured, do not belong; successors start when they ended.
    """
    with place.ledger.read() as tx:
        unfinished = [run for run in runs.unfinished(tx) if run.job is Job.WAL_STREAM]
        past = {
            ClusterName(name): runs.recent(tx, cluster=ClusterName(name), jobs=(Job.WAL_STREAM,), limit=REMEMBERED)
            for name in place.config.clusters
        }
    for run in unfinished:
        foreign = run.args.get("version") != __version__ or run.cluster not in place.config.clusters
        if foreign and run.state is RunState.RUNNING:
            watch.end(run)
    served = {run.cluster for run in unfinished}
    for cluster, recent in past.items():
        if cluster not in served and _may_start(recent, place.now()):
            _queue(place, cluster)


def back_off(recent: Sequence[Run]) -> timedelta:
    """Return how long to wait after the end of the newest of the last receivers before the next one. Pure.

    None after one that ran five minutes or was asked to stop; else 1, 2, 4 … seconds, a minute at most.
    """
    short_lives = 0
    for run in recent:
        lived = (run.finished_at or run.queued_at) - (run.started_at or run.queued_at)
        if lived >= STEADY or run.state is RunState.CANCELLED:
            break
        short_lives += 1
    return min(LONGEST, timedelta(seconds=2 ** (short_lives - 1))) if short_lives else timedelta()


def _may_start(recent: Sequence[Run], now: datetime) -> bool:
    return not recent or now - (recent[0].finished_at or recent[0].queued_at) >= back_off(recent)


def _queue(place: Place, cluster: ClusterName) -> None:
    with contextlib.suppress(Conflict):
        place.queue(Job.WAL_STREAM, cluster, {"version": __version__})

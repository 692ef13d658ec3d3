"""The schedule: what is due is computed from the ledger; APScheduler only wakes us."""

from __future__ import annotations

import contextlib
import threading
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from bot.errors import Conflict
from bot.ledger import Tx, pauses, runs
from bot.ledger import schedule as memory
from bot.model.ids import ClusterName
from bot.model.pauses import PAUSED_JOBS
from bot.model.runs import Job, Run, RunState
from bot.model.schedule import Cron, Slot, due
from bot.process.place import Place

log = structlog.get_logger("pitstop.schedule")
_MAKE_BACKUPS = (Job.BASE_BACKUP, Job.DUMP, Job.IMPORT)


def queue_due(place: Place) -> list[Run]:
    """Queue every job that is due, once, however often it was missed; return the new runs. Idempotent.

    A job whose locks are held (a backup somebody started by hand) stays due, and comes when they are free; one that a pause
    holds back comes when the pause is over.
    """
    queued = []
    for name, cluster in place.config.clusters.items():
        for job, cron in place.config.crons(name):
            slot = _due(place, ClusterName(name), job, cron, ZoneInfo(cluster.timezone))
            if slot is not None:
                with contextlib.suppress(Conflict):
                    queued.append(_queue(place, ClusterName(name), job, slot))
    return queued


def queue_after_backups(place: Place) -> list[Run]:
    """Queue a sync of each cluster with several repositories where a backup ended since the last one was queued. Idempotent.

    Where the schedule's `sync` is off none is. One that cannot be queued yet, because a sync is under way or a pause holds it
    back, is queued at a later look.
    """
    queued = []
    for text in place.config.clusters:
        name = ClusterName(text)
        scheduled = any(job is Job.SYNC for job, _ in place.config.crons(name))
        if scheduled and _made_since_sync(place, name):
            with contextlib.suppress(Conflict):
                run = place.queue(Job.SYNC, name)
                log.info("queued after a backup", job=run.job.value, cluster=name, run=run.id)
                queued.append(run)
    return queued


def _made_since_sync(place: Place, name: ClusterName) -> bool:
    with place.ledger.read() as tx:
        if _held_back(tx, Job.SYNC, name, place.now()):
            return False
        made = runs.recent(tx, cluster=name, jobs=_MAKE_BACKUPS, states=(RunState.SUCCEEDED,), limit=1)
        last = runs.recent(tx, cluster=name, jobs=(Job.SYNC,), limit=1)
    ended = made[0].finished_at if made else None
    return ended is not None and (not last or last[0].queued_at <= ended)


def retry_interrupted(place: Place) -> list[Run]:
    """Queue once more each scheduled job whose newest run was interrupted; a run that is such a retry is left alone."""
    queued = []
    for name in place.config.clusters:
        for job, _cron in place.config.crons(name):
            with place.ledger.read() as tx:
                if _held_back(tx, job, ClusterName(name), place.now()):
                    continue
                newest = runs.recent(tx, cluster=ClusterName(name), jobs=(job,), limit=1)
            if newest and newest[0].state is RunState.INTERRUPTED and newest[0].scheduled_for:
                with contextlib.suppress(Conflict):
                    queued.append(_retry(place, newest[0]))
    return queued


def _retry(place: Place, run: Run) -> Run:
    again = place.queue(run.job, run.cluster, {"retry_of": run.id})
    log.info("retried", job=run.job.value, cluster=run.cluster, interrupted=run.id, run=again.id)
    return again


def _due(place: Place, cluster: ClusterName, job: Job, cron: Cron, zone: ZoneInfo) -> Slot | None:
    now = place.now()
    with place.ledger.transaction() as tx:
        if _held_back(tx, job, cluster, now):
            return None
        since = memory.counted_since(tx, job, cluster, now)
        last = memory.last_slot(tx, job, cluster)
    return due(cron, zone, last=last, since=since, now=now)


def _held_back(tx: Tx, job: Job, cluster: ClusterName, now: datetime) -> bool:
    return job in PAUSED_JOBS and pauses.current(tx, cluster, now) is not None


def _queue(place: Place, cluster: ClusterName, job: Job, slot: Slot) -> Run:
    run = place.queue(job, cluster, scheduled_for=slot.key)
    log.info("queued", job=job.value, cluster=cluster, slot=slot.key, run=run.id)
    return run


def keep_schedule(place: Place, stop: threading.Event) -> None:
    """Queue what is due now, and look again at the start of each minute until `stop`.

    Raises:
        whatever `queue_due` raised: the bot ends loudly rather than running without a schedule.
    """
    wake = threading.Event()
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.add_job(wake.set, "cron", second=0, misfire_grace_time=None, coalesce=True, max_instances=1)
    scheduler.start()
    try:
        while not stop.is_set():
            queue_due(place)
            queue_after_backups(place)
            while not stop.is_set() and not wake.wait(0.5):
                pass
            wake.clear()
    finally:
        scheduler.shutdown(wait=False)

"""The schedule: what is due is computed from the ledger; APScheduler only wakes us."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from bot import desk
from bot.config import ClusterConfig
from bot.errors import Conflict
from bot.ledger import runs
from bot.ledger import schedule as memory
from bot.model.ids import ClusterName
from bot.model.runs import Job, Run, RunState
from bot.model.schedule import Cron, Slot, due, schedule_of
from bot.process.place import Place

log = structlog.get_logger("pitstop.schedule")
BY = "pitstop"


def schedules(name: str, cluster: ClusterConfig) -> Iterator[tuple[Job, Cron]]:
    """Yield the scheduled jobs of a cluster; those set to `off` are left out."""
    texts = {
        Job.BASE_BACKUP: cluster.schedule.base_backup,
        Job.DUMP: cluster.schedule.dump,
        Job.WAL_CHECK: cluster.schedule.wal_check,
        Job.DRILL: cluster.schedule.drill,
    }
    for job, text in texts.items():
        cron = schedule_of(text, key=f"clusters.{name}.schedule.{job.value.replace('-', '_')}")
        if cron is not None:
            yield job, cron


def queue_due(place: Place) -> list[Run]:
    """Queue every job that is due, once, however often it was missed; return the new runs. Idempotent.

    A job whose locks are held (a backup somebody started by hand) stays due, and comes when they are free.
    """
    queued = []
    for name, cluster in place.config.clusters.items():
        for job, cron in schedules(name, cluster):
            slot = _due(place, ClusterName(name), job, cron, ZoneInfo(cluster.timezone))
            if slot is not None:
                with contextlib.suppress(Conflict):
                    queued.append(_queue(place, ClusterName(name), job, slot))
    return queued


def retry_interrupted(place: Place) -> list[Run]:
    """Queue once more each scheduled job whose newest run was interrupted; a run that is such a retry is left alone."""
    queued = []
    for name, cluster in place.config.clusters.items():
        for job, _cron in schedules(name, cluster):
            with place.ledger.read() as tx:
                newest = runs.recent(tx, cluster=ClusterName(name), jobs=(job,), limit=1)
            if newest and newest[0].state is RunState.INTERRUPTED and newest[0].scheduled_for:
                with contextlib.suppress(Conflict):
                    queued.append(_retry(place, newest[0]))
    return queued


def _retry(place: Place, run: Run) -> Run:
    again = desk.queue_run(
        place.ledger,
        job=run.job,
        cluster=run.cluster,
        args={"retry_of": run.id},
        by=BY,
        at=place.now(),
        entropy=place.entropy(8),
    )
    log.info("retried", job=run.job.value, cluster=run.cluster, interrupted=run.id, run=again.id)
    return again


def _due(place: Place, cluster: ClusterName, job: Job, cron: Cron, zone: ZoneInfo) -> Slot | None:
    now = place.now()
    with place.ledger.transaction() as tx:
        since = memory.counted_since(tx, job, cluster, now)
        last = memory.last_slot(tx, job, cluster)
    return due(cron, zone, last=last, since=since, now=now)


def _queue(place: Place, cluster: ClusterName, job: Job, slot: Slot) -> Run:
    run = desk.queue_run(
        place.ledger,
        job=job,
        cluster=cluster,
        args={},
        by=BY,
        at=place.now(),
        entropy=place.entropy(8),
        scheduled_for=slot.key,
    )
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
            while not stop.is_set() and not wake.wait(0.5):
                pass
            wake.clear()
    finally:
        scheduler.shutdown(wait=False)

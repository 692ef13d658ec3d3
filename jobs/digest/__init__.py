"""The digest of a cluster: judged from the ledger, drawn where matplotlib is installed, published in the results channel."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bot import desk
from bot.config import ClusterConfig
from bot.ledger import Tx, alerts, catalogue, pauses, rehearsals, runs, wal_status
from bot.model.alerts import AlertState
from bot.model.conditions.drills import of_now
from bot.model.conditions.wal import Durability
from bot.model.digest import LOOK_BACK, Situation, make_digest
from bot.model.ids import ClusterName
from bot.model.runs import Job, RunState
from jobs.context import JobContext

_LONGEST_GAP = timedelta(days=7)
_ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.INTERRUPTED)
_TOLD = (Job.BASE_BACKUP, Job.DUMP, Job.WAL_CHECK, Job.DRILL)
_NO_CHARTS = 'without charts: `pip install "pitstop[digest]"` on the host draws them'


def run(context: JobContext) -> dict[str, Any]:
    """Write the digest of the run's cluster. Reads the ledger alone.

    Returns {"safe": […], "attention": […], "series", "alt", "charts": bool, "note"}; with charts they are kept to be sent.
    """
    cluster, now = context.run.cluster, context.now()
    with context.ledger.read() as tx:
        found = situation(tx, cluster, context.config.cluster(cluster), now)
    digest = make_digest(found)
    picture = _draw(context, digest.series)
    if picture is not None:
        title = f"{cluster}: sizes, durations, RPO and drills of {LOOK_BACK.days} days"
        desk.attach(
            context.ledger,
            context.run.id,
            name=f"digest-{cluster}.png",
            title=title,
            alt=digest.alt,
            content=picture,
            at=now,
        )
    return {**digest.as_json(), "charts": picture is not None, "note": "" if picture is not None else _NO_CHARTS}


def _draw(context: JobContext, series: Any) -> bytes | None:
    """Return the charts as PNG, or None where matplotlib is not installed."""
    context.phase("draw")
    try:
        from jobs.digest.charts import draw
    except ModuleNotFoundError:
        return None
    return draw(series)


def situation(tx: Tx, cluster: ClusterName, config: ClusterConfig, now: datetime) -> Situation:
    """Read what the digest is made from."""
    digests = runs.recent(tx, cluster=cluster, jobs=(Job.DIGEST,), states=(RunState.SUCCEEDED,), limit=1)
    since = digests[0].queued_at if digests else now - timedelta(days=1)
    durabilities = [
        Durability(cluster, one.repository, one.durable_lsn, one.server_lsn, one.covered_until)
        for one in wal_status.list(tx, cluster)
    ]
    active = (AlertState.OPEN, AlertState.ACKNOWLEDGED)
    held = pauses.current(tx, cluster, now)
    notes = rehearsals.newest(tx, cluster)
    kinds = {Job.BASE_BACKUP: "base", Job.DUMP: "dump"}
    return Situation(
        cluster=cluster,
        now=now,
        since=max(since, now - _LONGEST_GAP),
        backups=catalogue.list(tx, cluster),
        runs=[run for run in runs.recent(tx, cluster=cluster, jobs=_TOLD, states=_ENDED, limit=2000) if of_now(run)],
        exposure=max((one.exposure(now) for one in durabilities), default=None),
        exposures=alerts.samples(tx, f"rpo:{cluster}"),
        alerts=[alert.concern.sentence for alert in alerts.list(tx, cluster=cluster, states=active)],
        expected=frozenset(kinds[job] for job, _ in config.schedule.crons(cluster) if job in kinds),
        max_age=config.alerts.backup_age,
        rpo=config.objectives.rpo.target,
        rto=config.objectives.rto.target,
        paused_until=held.until if held else None,
        rehearsed_at=notes.at if notes else None,
    )

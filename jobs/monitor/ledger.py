"""What the ledger tells the monitor about one cluster: backups, schedules, WAL, drills."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bot.config import ClusterConfig, Config
from bot.ledger import Tx, cards, catalogue, data_keys, pauses, runs, wal_status
from bot.ledger import schedule as memory
from bot.ledger.wal_status import WalStatus
from bot.model.alerts import Concern
from bot.model.backups import BackupSummary
from bot.model.conditions.backups import Kind, Missed, backup_age, backup_damaged, backup_size, schedule_missed
from bot.model.conditions.drills import COUNTED, Drills, drill_age, drill_rate, of_now, rto
from bot.model.conditions.keys import key_age
from bot.model.conditions.messages import undelivered
from bot.model.conditions.rows import row_counts
from bot.model.conditions.wal import Hole, wal_gaps
from bot.model.copies import Lag, copy_late
from bot.model.failures import BAD
from bot.model.ids import ClusterName
from bot.model.pauses import Pause
from bot.model.runs import Job, Run, RunState
from bot.model.schedule import Cron, next_slot
from bot.model.wal import Lsn
from jobs.copies import behind

KINDS = {"base-backup": "base", "dump": "dump"}
"""Which scheduled jobs make a backup, and of which kind."""
_DUMPS_BACK = 10
JUDGED = (
    *("backup-age", "backup-damaged", "backup-size", "schedule-missed", "copy-late"),
    *("drill-age", "drill-rate", "rto", "row-counts"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What the ledger says about one cluster, read in one transaction."""

    cluster: ClusterName
    backups: list[BackupSummary]
    wal: list[WalStatus]
    unfinished: list[Run]
    streams: list[Run]
    checked: Run | None
    drills: list[Run]
    executed: list[Run]
    dumped: list[Run]
    scheduled: list[tuple[Job, Cron, datetime, Run | None]]
    pause: Pause | None = None
    lags: list[Lag] = field(default_factory=list)
    lags_counted_since: datetime | None = None


def read(tx: Tx, name: ClusterName, config: Config, now: datetime) -> Told:
    """Read what is known about one cluster at `now`; a scheduled job comes with since when it counts and its last scheduled run."""
    scheduled = [
        (job, cron, since, _last_scheduled(tx, name, job))
        for job, cron in config.crons(name)
        if (since := memory.since(tx, job, name)) is not None
    ]
    ended = (RunState.SUCCEEDED, *BAD)
    checked = runs.recent(tx, cluster=name, jobs=(Job.WAL_CHECK,), states=(RunState.SUCCEEDED,), limit=1)
    return Told(
        cluster=name,
        backups=catalogue.list(tx, name),
        wal=wal_status.list(tx, name),
        unfinished=[run for run in runs.unfinished(tx) if run.cluster == name],
        streams=runs.recent(tx, cluster=name, jobs=(Job.WAL_STREAM,), limit=1),
        checked=checked[0] if checked else None,
        drills=[run for run in runs.recent(tx, cluster=name, jobs=(Job.DRILL,), states=ended) if of_now(run)][:COUNTED],
        dumped=runs.recent(tx, cluster=name, jobs=(Job.DUMP,), states=(RunState.SUCCEEDED,), limit=_DUMPS_BACK),
        executed=runs.recent(tx, cluster=name, jobs=(Job.EXECUTE,), states=(RunState.SUCCEEDED,), limit=1),
        scheduled=scheduled,
        pause=pauses.newest(tx, name),
        lags=behind(config, tx, name, now),
        lags_counted_since=memory.since(tx, Job.SYNC, name),
    )


def _last_scheduled(tx: Tx, name: ClusterName, job: Job) -> Run | None:
    return next((run for run in runs.recent(tx, cluster=name, jobs=(job,)) if run.scheduled_for), None)


def concerns(told: Told, config: ClusterConfig, now: datetime) -> list[Concern]:
    """Judge what the ledger told. Pure."""
    zone, limits = ZoneInfo(config.timezone), config.alerts
    found: list[Concern] = []
    for job, cron, since, _ in told.scheduled:
        every = interval(cron, zone, now)
        if job.value in KINDS:
            running = any(run.job is job for run in told.unfinished)
            scheduled = Kind(told.cluster, KINDS[job.value], job.value, since, every, running)
            found += backup_age(scheduled, told.backups, most=limits.backup_age, now=now)
        if job is Job.DRILL:
            drills = Drills(told.cluster, told.drills, since, every)
            found += drill_age(drills, most=limits.drill_age, now=now)
            found += drill_rate(drills, least=limits.drill_success)
    for kind in dict.fromkeys(KINDS.values()):
        found += backup_damaged(told.cluster, kind, told.backups)
        found += backup_size(
            told.cluster, kind, told.backups, change=limits.size_change, floor_bytes=limits.min_backup_bytes
        )
    found += schedule_missed(missed(told, zone, now), after=limits.missed_after, now=now)
    copies = config.objectives.copies
    if told.lags_counted_since is not None:
        found += copy_late(
            told.cluster,
            told.lags,
            target=copies.target,
            maximum=copies.maximum,
            counted_since=told.lags_counted_since,
            now=now,
        )
    found += row_counts(told.cluster, told.dumped)
    restores = sorted([*told.drills, *told.executed], key=lambda run: run.queued_at, reverse=True)
    objective = config.objectives.rto
    found += rto(told.cluster, restores, target=objective.target, maximum=objective.maximum)
    return found


def interval(cron: Cron, zone: ZoneInfo, now: datetime) -> timedelta:
    """Return how far apart two slots of a schedule are around now. Pure."""
    first = next_slot(cron, zone, after=now)
    return next_slot(cron, zone, after=first.at).at - first.at


def missed(told: Told, zone: ZoneInfo, now: datetime) -> list[Missed]:
    """Return the scheduled occurrences that should have begun: never queued, or queued and waiting. Pure.

    What a pause held back is due when the pause is over.
    """
    found = []
    for job, cron, since, last in told.scheduled:
        under_way = [run for run in told.unfinished if run.job is job]
        first = next_slot(cron, zone, after=max(since, last.queued_at) if last else since)
        due_at = max(first.at, told.pause.over_at) if told.pause and told.pause.holds(job, first.at) else first.at
        if due_at <= now and not under_way and not (told.pause and told.pause.holds(job, now)):
            found.append(Missed(told.cluster, job.value, due_at))
        waiting = [run for run in under_way if run.state is RunState.QUEUED and run.scheduled_for]
        found += [Missed(told.cluster, job.value, run.queued_at, waits=True) for run in waiting]
    return found


def gaps(told: Told, config: Config) -> list[Concern] | None:
    """Return the holes the last WAL check found; None when it could not look into every repository. Pure."""
    known: dict[str, Any] = (told.checked.result or {}).get("repositories", {}) if told.checked else {}
    wanted = list(config.cluster_repositories(told.cluster))
    if not all("holes" in known.get(name, {}) for name in wanted):
        return None
    holes = [Hole(name, Lsn.parse(start), Lsn.parse(end)) for name in wanted for start, end in known[name]["holes"]]
    return wal_gaps(told.cluster, holes)


def refused(tx: Tx) -> list[Concern]:
    """Return what Slack would not take."""
    return undelivered((card.id, card.place, card.failed or "") for card in cards.refused(tx))


def old_keys(tx: Tx, config: Config, now: datetime) -> list[Concern]:
    """Return which repositories' data keys are due to be rotated."""
    newest: dict[str, datetime] = {}
    for one in data_keys.known(tx):
        if one.repository in config.repositories:
            newest[one.repository] = max(one.made_at, newest.get(one.repository, one.made_at))
    return key_age(newest, every=config.encryption.rotate_every, now=now)

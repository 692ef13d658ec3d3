"""What `/backup` and `help` answer: from the ledger and what the monitor saw last; no repository and no server is asked."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from bot.ledger import Tx, catalogue, contents, old_backups, pauses, requests, runs, servers, wal_status
from bot.model.backup_commands import BackupCommand, ListBackups, ShowBackup, ShowSchedule, ShowStatus
from bot.model.commands import ShowHelp
from bot.model.copies import Lag, lags, where
from bot.model.ids import BackupId, ClusterName
from bot.model.requests import State
from bot.model.runs import Job, Run, RunState
from bot.model.timetable import timetable
from bot.slack.blocks import Message
from bot.slack.cards.backup import BackupView, backup_card
from bot.slack.cards.help import help_card
from bot.slack.cards.schedule import ClusterSchedule, schedule_card
from bot.slack.cards.status import ClusterStatus, list_card, status_card
from handlers.facts import known_backup
from handlers.wiring import Wiring

_SHOWN_JOBS = (Job.BASE_BACKUP, Job.DUMP, Job.WAL_CHECK, Job.DRILL)
_OPEN = tuple(state for state in State if not state.ended)


def answer(wiring: Wiring, command: BackupCommand) -> Message:
    """Return what a command that only looks answers."""
    match command:
        case ShowHelp(command=name):
            return help_card(name, wiring.config.clusters)
        case ListBackups(cluster=cluster):
            return _list(wiring, cluster)
        case ShowBackup(backup=backup):
            return _show(wiring, backup)
        case ShowSchedule(cluster=cluster):
            return _schedule(wiring, _named(wiring, cluster))
        case ShowStatus(cluster=cluster):
            return _status(wiring, _named(wiring, cluster))
    raise AssertionError(f"{command} is not answered here")


def _list(wiring: Wiring, cluster: ClusterName) -> Message:
    with wiring.ledger.read() as tx:
        found, old = catalogue.list(tx, cluster), old_backups.list(tx, cluster)
        return list_card(cluster, found, wal_status.list(tx, cluster), now=wiring.now(), old=old)


def _named(wiring: Wiring, cluster: ClusterName | None) -> list[ClusterName]:
    return [cluster] if cluster else [ClusterName(name) for name in wiring.config.clusters]


def _show(wiring: Wiring, backup: BackupId) -> Message:
    found = known_backup(wiring, backup)
    with wiring.ledger.read() as tx:
        copies, inside = catalogue.copies(tx, found.cluster, backup), contents.find(tx, found.cluster, backup)
    return backup_card(BackupView(found, where(copies), inside), now=wiring.now())


def _schedule(wiring: Wiring, clusters: list[ClusterName]) -> Message:
    with wiring.ledger.read() as tx:
        return schedule_card([_timetable(wiring, tx, cluster) for cluster in clusters])


def _timetable(wiring: Wiring, tx: Tx, cluster: ClusterName) -> ClusterSchedule:
    config, now = wiring.config.cluster(cluster), wiring.now()
    pause = pauses.current(tx, cluster, now)
    crons, zone = wiring.config.crons(cluster), ZoneInfo(config.timezone)
    lines = timetable(crons, zone, last=runs.newest(tx, cluster), pause=pause, now=now)
    return ClusterSchedule(cluster, config.timezone, lines, pause)


def _status(wiring: Wiring, clusters: list[ClusterName]) -> Message:
    with wiring.ledger.read() as tx:
        return status_card([cluster_status(wiring, tx, cluster) for cluster in clusters], now=wiring.now())


def cluster_status(wiring: Wiring, tx: Tx, cluster: ClusterName) -> ClusterStatus:
    """Return what is known about one cluster: by the ledger, and of its repositories as they were last looked at."""
    config = wiring.config.cluster(cluster)
    recent = runs.recent(tx, cluster=cluster, jobs=_SHOWN_JOBS, limit=50)
    away = wiring.away(cluster)
    holding = [name for name in wiring.config.cluster_repositories(cluster) if catalogue.list(tx, cluster, name)]
    return ClusterStatus(
        cluster=cluster,
        backups=catalogue.list(tx, cluster),
        wal=wal_status.list(tx, cluster),
        running=[run for run in recent if not run.state.ended],
        last_failure=_last_failure(recent),
        servers=servers.list(tx, cluster=cluster),
        requests=requests.recent(tx, cluster=cluster, states=_OPEN, limit=10),
        rpo=config.objectives.rpo.target,
        pause=pauses.current(tx, cluster, wiring.now()),
        shared_disk=config.shared_disk,
        lags=_lags(wiring, tx, cluster),
        away=away,
        all_away=bool(holding) and all(name in away for name in holding),
    )


def _lags(wiring: Wiring, tx: Tx, cluster: ClusterName) -> list[Lag]:
    """Return how far each of several repositories is behind the others."""
    names = wiring.config.cluster_repositories(cluster)
    if len(names) < 2:
        return []
    held = {name: catalogue.list(tx, cluster, name) for name in names}
    return lags(held, wiring.config.cluster(cluster).retention.keeping, wiring.now())


def _last_failure(recent: list[Run]) -> Run | None:
    """Return the newest failure that no success of its job followed."""
    for job in _SHOWN_JOBS:
        ended = [run for run in recent if run.job is job and run.state.ended]
        if ended and ended[0].state in {RunState.FAILED, RunState.INTERRUPTED}:
            return ended[0]
    return None

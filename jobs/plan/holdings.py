"""What is kept of a cluster: its repositories, backups and WAL, opened for reading and put on one line of descent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.config import Config
from bot.errors import PitstopError, Unavailable, Usage
from bot.ledger import wal_status
from bot.ledger.database import Ledger
from bot.ledger.wal_status import WalStatus
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.timelines import Lineage, lineage
from bot.model.wal import WalRange, parse_history
from bot.model.window import live_timeline
from bot.repository.cluster import ClusterRepository
from jobs.histories import Histories, History, read_histories
from jobs.repositories import no_backup
from jobs.wal.source import WalSource
from jobs.wal.spool import Spool, spool_of


@dataclass(frozen=True, slots=True)
class Holdings:
    """One cluster (name and system identifier) as its repositories and spool hold it.

    `repositories` are in order of preference, the nearest first; `away` says in sentences which could not be read; `spool` is
    None where this host has none of this cluster. `places` is where each backup is read from, `copies` all who hold it.
    """

    cluster: ClusterName
    system_id: SystemId
    repositories: tuple[ClusterRepository, ...]
    backups: tuple[BackupSummary, ...]
    places: dict[BackupId, ClusterRepository]
    source: WalSource
    spool: Spool | None
    statuses: tuple[WalStatus, ...]
    away: tuple[str, ...]
    copies: Mapping[BackupId, tuple[tuple[BackupSummary, ClusterRepository], ...]] = field(default_factory=dict)

    def from_place(self, backup: BackupId, repository: ClusterRepository) -> Holdings:
        """Return the same, with a backup read from one of the repositories that hold it."""
        return replace(self, places={**self.places, backup: repository})

    def passed_over(self, backup: BackupId) -> tuple[str, ...]:
        """Say which nearer copies of a backup are not used because they are known to be damaged."""
        found = []
        for summary, repository in self.copies.get(backup, ()):
            if repository is self.places[backup]:
                break
            if summary.damaged:
                found.append(f"The copy in {repository.repository.name} is passed over: {summary.damaged}")
        return tuple(found)

    @property
    def segment_bytes(self) -> int:
        """The cluster's WAL segment size."""
        return self.repositories[0].segment_bytes

    def line(self, ranges: list[WalRange]) -> Lineage:
        """Return the line of descent to the timeline the cluster lives on: the one last streamed, or the newest known."""
        histories = {timeline: parse_history(data.decode()) for timeline, data in self.source.histories().items()}
        streamed = max(self.statuses, key=lambda status: status.at, default=None)
        known = {piece.timeline for piece in ranges}
        if streamed is not None and streamed.timeline in known:
            return lineage(streamed.timeline, histories)
        return lineage(live_timeline(self.backups, ranges, histories), histories)


def open_holdings(
    config: Config, ledger: Ledger | None, cluster: ClusterName, listed: Mapping[str, Histories] | None = None
) -> Holdings:
    """Open whatever can be read of `cluster`; one repository that answers is enough.

    `listed` is what was listed of its repositories a moment ago, by name; without it they are listed here.

    Raises:
        Usage: no repository holds anything of it, or a key is wrong.
        Unavailable: none can be reached.
    """
    found, problems = _newest(config, ledger, cluster, listed or {})
    if not found:
        raise next((p for p in problems if isinstance(p, Unavailable)), problems[0])
    statuses = _statuses(ledger, cluster)
    system_id = _live_system([one.repository.system_id for one in found], statuses)
    histories = [one for one in found if one.repository.system_id == system_id]
    opened = [one.repository for one in histories]
    copies: dict[BackupId, list[tuple[BackupSummary, ClusterRepository]]] = {}
    for one in histories:
        for backup in one.backups:
            copies.setdefault(backup.id, []).append((backup, one.repository))
    backups = {name: next((one for one in held if not one[0].damaged), held[0]) for name, held in copies.items()}
    problems += [lost for repository in opened for lost in repository.repository.keys.lost()]
    spool = spool_for(config, cluster, system_id)
    return Holdings(
        cluster,
        system_id,
        tuple(opened),
        tuple(backup for backup, _ in backups.values()),
        {name: repository for name, (_, repository) in backups.items()},
        WalSource(spool, [repository.wal for repository in opened], opened[0].segment_bytes),
        spool,
        tuple(status for status in statuses if status.system_id == system_id),
        tuple(problem.message for problem in problems),
        {name: tuple(held) for name, held in copies.items()},
    )


def nothing_held(cluster: ClusterName) -> Holdings:
    """Return the holdings of a cluster of which nothing is kept, or asked."""
    return Holdings(cluster, SystemId(""), (), (), {}, WalSource(None, [], 0), None, (), ())


def _newest(
    config: Config, ledger: Ledger | None, cluster: ClusterName, listed: Mapping[str, Histories]
) -> tuple[list[History], list[PitstopError]]:
    """Ask each repository for the history it holds, the newest of several; those that cannot say are problems."""
    found: list[History] = []
    problems: list[PitstopError] = []
    for name in config.nearest_repositories(cluster):
        try:
            held = listed.get(name) or read_histories(config, ledger, name, cluster)
            if held.newest is None:
                raise no_backup(name, cluster)
            found.append(held.newest)
        except (Unavailable, Usage) as error:
            problems.append(error)
    return found, problems


def _live_system(held: list[SystemId], statuses: list[WalStatus]) -> SystemId:
    """Return the system identifier that is streamed now, if a repository holds it, else the first repository's."""
    streamed = max(statuses, key=lambda status: status.at, default=None)
    return streamed.system_id if streamed is not None and streamed.system_id in held else held[0]


def _statuses(ledger: Ledger | None, cluster: ClusterName) -> list[WalStatus]:
    if ledger is None:
        return []
    with ledger.read() as tx:
        return wal_status.list(tx, cluster)


def spool_for(config: Config, cluster: ClusterName, system_id: SystemId) -> Spool | None:
    """Return this host's spool of the cluster, if there is one and it is of the same system."""
    spool = spool_of(config.spool, cluster)
    identity = spool.identity() if spool.directory.exists() else None
    return spool if identity is not None and identity.system_id == system_id else None


def said_complete(holdings: Holdings, ranges: list[WalRange]) -> datetime | None:
    """Return up to when the receiver said that all WAL is durable, if what it spoke of is here; None when it never did."""
    times = [
        datetime.fromisoformat(status.window[-1]["to"])
        for status in holdings.statuses
        if status.window
        and any(piece.timeline == status.timeline and piece.covers(status.durable_lsn) for piece in ranges)
    ]
    return max(times, default=None)

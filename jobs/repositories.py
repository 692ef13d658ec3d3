"""Opening a cluster's repositories the way every job does."""

from __future__ import annotations

from collections.abc import Sequence

from bot.config import Config
from bot.errors import Refused, Unavailable, Usage
from bot.ledger import Ledger
from bot.model.backups import BackupSummary
from bot.model.ids import ClusterName, SystemId
from bot.model.typed import quoted
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.open import open_repository
from bot.repository.repository import Repository
from jobs.away import held_something
from jobs.context import JobContext


def open_for_reading(config: Config, repository: str, cluster: ClusterName, system_id: SystemId) -> ClusterRepository:
    """Open one cluster's history in one repository.

    Raises:
        Usage: the repository or the cluster in it does not exist, or the key is wrong.
        Unavailable: the storage is away.
    """
    opened = open_repository(repository, config.repositories[repository], config.encryption)
    return opened.cluster(cluster, system_id)


def open_for_writing(
    config: Config,
    ledger: Ledger,
    repository: str,
    cluster: ClusterName,
    system_id: SystemId,
    segment_bytes: int,
    *,
    major: int | None = None,
    begun: bool = False,
    like: Sequence[Repository] = (),
) -> ClusterRepository:
    """Open one cluster's history in one repository, starting both where they are missing, with a data key of those in `like`.

    With the server's `major` (for base backups, which recoveries follow) a history beside another is begun for an upgrade alone.

    A repository that held something of this cluster before, as the ledger says or a caller who opened it before (`begun`), is
    never started anew: an empty folder then is a disk that is not mounted, and what is written there would be lost.

    Raises:
        Usage: the key is wrong, or a repository used before is missing.
        Refused: the folder, or its backups, belong to another cluster.
        Unavailable: the storage is away.
    """
    used = begun or was_used(ledger, cluster, repository)
    settings = config.repositories[repository]
    opened = open_repository(repository, settings, config.encryption, create=not used, like=like)
    if major is not None:
        require_own_history(opened, cluster, system_id, major)
    return opened.cluster(cluster, system_id, create=True, segment_bytes=segment_bytes)


def require_own_history(opened: Repository, cluster: ClusterName, system_id: SystemId, major: int) -> None:
    """Refuse to begin a second history under a cluster's name for a server that is not an upgrade of the first.

    Recoveries follow the newest backup: a DSN that leads elsewhere by mistake would turn all of them to another server. WAL alone,
    which a receiver may have brought of a server by then, makes no history its own.

    Raises:
        Refused: `foreign-cluster`.
    """
    systems = opened.systems(cluster)
    if systems in ([], [system_id]) or opened.store.children(layout.backups(cluster, system_id)):
        return
    _, others = backups_by_owner(opened, cluster, system_id)
    if others and major <= (newest := others[-1]).server_version // 10000:
        raise Refused(
            f"The repository {opened.name} keeps backups of another server under the name {cluster}: its system identifier is "
            f"{newest.system_id}, this server's is {system_id}, and it is no upgrade of it.",
            hint="Does the DSN lead to the right server? A new server wants a new name in the configuration.",
            code="foreign-cluster",
        )


def backups_by_owner(
    opened: Repository, cluster: ClusterName, system_id: SystemId
) -> tuple[list[BackupSummary], list[BackupSummary]]:
    """Return the backups kept under a cluster's name that are this system's, and those that are not, each oldest first."""
    kept = [backup for system in opened.systems(cluster) for backup in opened.cluster(cluster, system).backups()]
    kept.sort(key=lambda backup: backup.id)
    return [b for b in kept if b.system_id == system_id], [b for b in kept if b.system_id != system_id]


def newest_system(config: Config, repository: str, cluster: ClusterName) -> SystemId:
    """Return the one system identifier kept under a cluster's name; with several, the one whose backup is newest.

    Raises:
        Usage: nothing of this cluster is there.
    """
    opened = open_repository(repository, config.repositories[repository], config.encryption)
    systems = opened.systems(cluster)
    if not systems:
        raise no_backup(repository, cluster)
    if len(systems) == 1:
        return systems[0]
    newest = {system: max((b.id for b in opened.cluster(cluster, system).backups()), default="") for system in systems}
    return max(systems, key=lambda system: newest[system])


def no_backup(repository: str, cluster: ClusterName) -> Usage:
    """Say that a repository holds nothing of a cluster."""
    return Usage(
        f"The repository {repository} holds nothing of the cluster {cluster}.",
        hint=f"Take a backup first: `pitstop backup base {cluster}`.",
        code="no-backup",
    )


def repository_name(context: JobContext) -> str:
    """Return the repository a run writes to: its `repository` argument, or the cluster's first.

    Raises:
        Usage: the cluster has no repository of that name.
    """
    names = list(context.config.cluster_repositories(context.run.cluster))
    wanted = context.run.args.get("repository", names[0])
    if wanted not in names:
        raise Usage(
            f"The cluster {context.run.cluster} has no repository {quoted(wanted)}.",
            hint=f"Its repositories: {', '.join(names)}.",
            code="unknown-repository",
        )
    return str(wanted)


def was_used(ledger: Ledger, cluster: ClusterName, repository: str) -> bool:
    """Say whether a repository held something of a cluster, as far as the ledger knows; a ledger that is away says yes."""
    try:
        with ledger.read() as tx:
            return held_something(tx, cluster, repository)
    except Unavailable:
        # Whether it was used cannot be told now; never start one in that state.
        return True

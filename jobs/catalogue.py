"""Renew the ledger's copy of the catalogue from the repositories, which alone decide what exists."""

from __future__ import annotations

from bot.config import Config
from bot.errors import Unavailable
from bot.ledger import Ledger, catalogue
from bot.model.backups import BackupSummary
from bot.model.ids import ClusterName
from bot.repository.cluster import ClusterRepository
from bot.repository.open import open_repository
from jobs.context import JobContext


def renew_catalogue(config: Config, ledger: Ledger, cluster: ClusterName) -> list[tuple[BackupSummary, list[str]]]:
    """Read every repository of `cluster` and return its backups, oldest first, each with the repositories that hold it.

    Idempotent. A repository renewed before another one turned out to be away stays renewed.

    Raises:
        Usage: a repository is missing, or its key is.
        Unavailable: a repository cannot be reached.
    """
    merged: dict[str, tuple[BackupSummary, list[str]]] = {}
    for name, settings in config.cluster_repositories(cluster).items():
        repository = open_repository(name, settings, config.encryption)
        summaries = [
            summary
            for system in repository.systems(cluster)
            for summary in repository.cluster(cluster, system).backups()
        ]
        with ledger.transaction() as tx:
            catalogue.replace(tx, cluster, name, summaries)
        for summary in summaries:
            merged.setdefault(summary.id, (summary, []))[1].append(name)
    return [merged[key] for key in sorted(merged)]


def publish_catalogue(context: JobContext, repository: ClusterRepository, name: str) -> None:
    """Renew the ledger's copy after a run made a backup. The backup exists whether or not this succeeds; listing renews it too."""
    summaries = repository.backups()
    try:
        with context.ledger.transaction() as tx:
            catalogue.replace(tx, context.run.cluster, name, summaries)
    except Unavailable as error:
        context.note(f"The list of backups is late: {error.message}")

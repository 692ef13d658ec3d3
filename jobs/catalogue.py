"""Renew the ledger's copy of the catalogue from the repositories, which alone decide what exists."""

from __future__ import annotations

from bot.config import Config
from bot.errors import Corruption, Unavailable, Usage
from bot.ledger import Ledger, catalogue, contents
from bot.model.backups import BackupSummary
from bot.model.contents import Contents
from bot.model.ids import ClusterName
from bot.repository.cluster import ClusterRepository
from bot.repository.open import open_repository
from bot.repository.repository import Repository
from jobs.context import JobContext

MANIFESTS_AT_A_TIME = 40
"""How many manifests one renewal reads at most; the next one goes on."""


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
        _learn_contents(ledger, cluster, name, repository, summaries)
        for summary in summaries:
            merged.setdefault(summary.id, (summary, []))[1].append(name)
    with ledger.transaction() as tx:
        contents.forget_gone(tx, cluster)
    return [merged[key] for key in sorted(merged)]


def _learn_contents(
    ledger: Ledger, cluster: ClusterName, name: str, repository: Repository, summaries: list[BackupSummary]
) -> None:
    """Read the manifests nobody has read yet, newest first, some at a time; one that is damaged says nothing."""
    systems = {summary.id: summary.system_id for summary in summaries}
    with ledger.read() as tx:
        unread = contents.unknown(tx, cluster, name)
    for backup in unread[:MANIFESTS_AT_A_TIME]:
        try:
            body = repository.cluster(cluster, systems[backup]).manifest(backup).body
        except (Corruption, Usage):
            continue  # the list shows it as damaged, or it has just gone
        with ledger.transaction() as tx:
            contents.put(tx, cluster, backup, Contents.of_body(body))


def publish_catalogue(context: JobContext, repository: ClusterRepository, name: str) -> None:
    """Renew the ledger's copy after a run made a backup. The backup exists whether or not this succeeds; listing renews it too."""
    summaries = repository.backups()
    try:
        with context.ledger.transaction() as tx:
            catalogue.replace(tx, context.run.cluster, name, summaries)
        _learn_contents(context.ledger, context.run.cluster, name, repository.repository, summaries)
    except Unavailable as error:
        context.note(f"The list of backups is late: {error.message}")

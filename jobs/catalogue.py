"""Renew the ledger's copy of the catalogue from the repositories, which alone decide what exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.config import Config
from bot.errors import Corruption, Unavailable, Usage
from bot.ledger import Ledger, catalogue, contents, data_keys
from bot.model.backups import BackupSummary
from bot.model.contents import Contents
from bot.model.copies import merged
from bot.model.ids import BackupId, ClusterName
from bot.repository.cluster import ClusterRepository
from bot.repository.keys.ring import with_times
from bot.repository.open import open_repository
from bot.repository.repository import Repository
from jobs.context import JobContext

MANIFESTS_AT_A_TIME = 40
"""How many manifests one renewal reads at most; the next one goes on."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One backup as all repositories together know it, and as each that holds it lists it, the nearest first."""

    backup: BackupSummary
    copies: Mapping[str, BackupSummary]


def renew_catalogue(config: Config, ledger: Ledger, cluster: ClusterName) -> list[Listed]:
    """Read every repository of `cluster` and return its backups, oldest first.

    Idempotent. Those that can be read are renewed, also where another one cannot.

    Raises:
        Usage: a repository is missing, or its key is.
        Unavailable: a repository cannot be reached.
    """
    found, problems = renew_reachable(config, ledger, cluster)
    if problems:
        raise next(iter(problems.values()))
    return found


def renew_reachable(
    config: Config, ledger: Ledger, cluster: ClusterName
) -> tuple[list[Listed], dict[str, Unavailable | Usage]]:
    """Read the repositories of `cluster` that can be read; return all backups, oldest first, and why some could not be asked.

    What such a repository holds is then as the ledger last knew it.

    Raises:
        Usage, Unavailable: none can be read.
    """
    names = config.nearest_repositories(cluster)
    problems: dict[str, Unavailable | Usage] = {}
    for name, settings in names.items():
        try:
            _renew(ledger, cluster, name, open_repository(name, settings, config.encryption))
        except (Unavailable, Usage) as error:
            problems[name] = error
    if len(problems) == len(names):
        raise next(iter(problems.values()))
    with ledger.transaction() as tx:
        contents.forget_gone(tx, cluster)
        held = {name: catalogue.list(tx, cluster, name) for name in names}
    copies: dict[BackupId, dict[str, BackupSummary]] = {}
    for name, summaries in held.items():
        for summary in summaries:
            copies.setdefault(summary.id, {})[name] = summary
    return [Listed(merged(list(copies[key].values())), copies[key]) for key in sorted(copies)], problems


def _renew(ledger: Ledger, cluster: ClusterName, name: str, repository: Repository) -> None:
    summaries = [
        summary for system in repository.systems(cluster) for summary in repository.cluster(cluster, system).backups()
    ]
    with ledger.transaction() as tx:
        catalogue.replace(tx, cluster, name, summaries)
        data_keys.replace(tx, name, with_times(repository.keys.listed))
    _learn_contents(ledger, cluster, name, repository, summaries)


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
            data_keys.replace(tx, name, with_times(repository.repository.keys.listed))
        _learn_contents(context.ledger, context.run.cluster, name, repository.repository, summaries)
    except Unavailable as error:
        context.note(f"The list of backups is late: {error.message}")

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
from jobs.context import JobContext
from jobs.histories import Histories, read_histories, recall

MANIFESTS_AT_A_TIME = 40
"""How many manifests one renewal reads at most; the next one goes on."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One backup as all repositories together know it, and as each that holds it lists it, the nearest first."""

    backup: BackupSummary
    copies: Mapping[str, BackupSummary]


@dataclass(frozen=True, slots=True)
class Renewed:
    """Every backup, oldest first; why some repositories could not be asked; and what the others listed, to be used further."""

    listed: list[Listed]
    away: dict[str, Unavailable | Usage]
    histories: dict[str, Histories]


def renew_catalogue(config: Config, ledger: Ledger, cluster: ClusterName) -> list[Listed]:
    """Read every repository of `cluster` and return its backups, oldest first.

    Idempotent. Those that can be read are renewed, also where another one cannot.

    Raises:
        Usage: a repository is missing, or its key is.
        Unavailable: a repository cannot be reached.
    """
    renewed = renew_reachable(config, ledger, cluster)
    if renewed.away:
        raise next(iter(renewed.away.values()))
    return renewed.listed


def renew_reachable(config: Config, ledger: Ledger, cluster: ClusterName) -> Renewed:
    """Read the repositories of `cluster` that can be read, and return all backups, and why some could not be asked.

    What such a repository holds is then as the ledger last knew it.

    Raises:
        Usage, Unavailable: none can be read.
    """
    names = config.nearest_repositories(cluster)
    problems: dict[str, Unavailable | Usage] = {}
    histories: dict[str, Histories] = {}
    for name in names:
        try:
            histories[name] = read_histories(config, ledger, name, cluster)
            _renew(ledger, cluster, name, histories[name])
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
    listed = [Listed(merged(list(copies[key].values())), copies[key]) for key in sorted(copies)]
    return Renewed(listed, problems, histories)


def _renew(ledger: Ledger, cluster: ClusterName, name: str, found: Histories) -> None:
    summaries = [summary for one in found.each for summary in one.backups]
    seen = {backup: one for history in found.each for backup, one in history.repository.catalogue.seen().items()}
    with ledger.transaction() as tx:
        catalogue.replace(tx, cluster, name, summaries, seen)
        data_keys.replace(tx, name, with_times(found.opened.keys.listed))
    _learn_contents(ledger, cluster, name, {s.id: one.repository for one in found.each for s in one.backups})


def _learn_contents(
    ledger: Ledger, cluster: ClusterName, name: str, places: Mapping[BackupId, ClusterRepository]
) -> None:
    """Read the manifests nobody has read yet, newest first, some at a time; one that is damaged says nothing."""
    with ledger.read() as tx:
        unread = contents.unknown(tx, cluster, name)
    learnt: dict[BackupId, Contents] = {}
    for backup in unread[:MANIFESTS_AT_A_TIME]:
        try:
            learnt[backup] = Contents.of_body(places[backup].manifest(backup).body)
        except (Corruption, Usage):
            continue  # the list shows it as damaged, or it has just gone
    if learnt:
        with ledger.transaction() as tx:
            for backup, found in learnt.items():
                contents.put(tx, cluster, backup, found)


def publish_catalogue(context: JobContext, repository: ClusterRepository, name: str) -> None:
    """Renew the ledger's copy after a run made a backup. The backup exists whether or not this succeeds; listing renews it too."""
    recall(context.ledger, repository)
    summaries = repository.backups()
    try:
        with context.ledger.transaction() as tx:
            catalogue.replace(tx, context.run.cluster, name, summaries, repository.catalogue.seen())
            data_keys.add(tx, name, with_times(repository.repository.keys.listed))  # listed when the run began
        _learn_contents(context.ledger, context.run.cluster, name, {one.id: repository for one in summaries})
    except Unavailable as error:
        context.note(f"The list of backups is late: {error.message}")

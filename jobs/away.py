"""Which repositories of a cluster are away, as far as a quick look tells: folders are looked at, clouds are not asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread

from bot.config import Config
from bot.ledger import Ledger, Tx, catalogue, runs, wal_status
from bot.model.ids import ClusterName
from bot.model.runs import Job, RunState
from bot.repository.layout import KEYS

WITHIN_S = 2.0
"""How long a folder may take to answer; one on a dead mount never does."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """Of one cluster's repositories: what the newest sync says of clouds, empty where they answered, and used folders."""

    clouds: Mapping[str, str]
    folders: Mapping[str, Path]


def away(
    config: Config, ledger: Ledger, clusters: Iterable[ClusterName], look: Callable[[Path], str] | None = None
) -> dict[ClusterName, dict[str, str]]:
    """Return why repositories that hold something of each cluster are away, by their names; a clause each, without a full stop.

    Folders are looked at once each, with no transaction open meanwhile.

    Raises:
        Unavailable: the ledger cannot be read.
    """
    with ledger.read() as tx:
        found = {cluster: suspects(config, tx, cluster) for cluster in clusters}
    once = cache(look or asked)
    return {cluster: only_away(seen(known, once)) for cluster, known in found.items()}


def suspects(config: Config, tx: Tx, cluster: ClusterName) -> Suspects:
    """Return what the ledger knows: a cloud is away where the newest sync could not look at it, and the clause says when."""
    told, clouds, folders = _told_by_sync(tx, cluster), {}, {}
    for name in config.cluster_repositories(cluster):
        folder = config.repositories[name].directory
        if folder is not None and held_something(tx, cluster, name):
            folders[name] = folder
        elif folder is None and name in told:
            clouds[name] = told[name]
    return Suspects(clouds, folders)


def seen(known: Suspects, look: Callable[[Path], str]) -> dict[str, str]:
    """Return why each repository is away, by its name, empty where it is not; `look` says what keeps a folder from being used."""
    return {**known.clouds, **{name: look(folder) for name, folder in known.folders.items()}}


def only_away(of_each: Mapping[str, str]) -> dict[str, str]:
    """Return those of `seen` that are away. Pure."""
    return {name: why for name, why in of_each.items() if why}


def held_something(tx: Tx, cluster: ClusterName, repository: str) -> bool:
    """Say whether a repository held something of `cluster` when it was last seen, as the ledger knows."""
    kept = bool(catalogue.list(tx, cluster, repository))
    return kept or any(status.repository == repository for status in wal_status.list(tx, cluster))


def _told_by_sync(tx: Tx, cluster: ClusterName) -> dict[str, str]:
    newest = runs.recent(tx, cluster=cluster, jobs=(Job.SYNC,), states=(RunState.SUCCEEDED,), limit=1)
    if not newest or newest[0].finished_at is None:
        return {}
    at = f"{newest[0].finished_at:%Y-%m-%d %H:%M:%S} UTC"
    rows = (newest[0].result or {}).get("repositories", [])
    return {
        one["repository"]: f"{str(one['problem']).rstrip('.')} (the sync of {at})" if one.get("away") else ""
        for one in rows
    }


def looked_at(folder: Path) -> str:
    """Return what keeps a repository's folder from being used; nothing where it seems to be whole."""
    try:
        if not folder.is_dir():
            return f"its folder {folder} is not there"
        return "" if (folder / KEYS).is_dir() else f"its folder {folder} holds no data keys"
    except OSError as error:
        return f"its folder {folder} cannot be looked at: {error.strerror}"


def unanswered(folder: Path) -> str:
    """Return what is said of a folder that did not answer in time."""
    return f"its folder {folder} does not answer"


def asked(folder: Path, look: Callable[[Path], str] = looked_at, within_s: float = WITHIN_S) -> str:
    """Return what `look` says of a folder, or that it does not answer: one on a dead mount is waited for no longer."""
    answers: list[str] = []
    asking = Thread(target=lambda: answers.append(look(folder)), daemon=True)
    asking.start()
    asking.join(within_s)
    return answers[0] if answers else unanswered(folder)

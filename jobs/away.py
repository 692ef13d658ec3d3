"""Which repositories of a cluster are away, as far as a quick look tells: folders are looked at, clouds are not asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

from bot.config import Config
from bot.ledger import Tx, catalogue, runs, wal_status
from bot.model.ids import ClusterName
from bot.model.runs import Job, RunState
from bot.repository.layout import KEYS

WITHIN_S = 2.0
"""How long a folder may take to answer; one on a dead mount never does."""


def away(config: Config, tx: Tx, cluster: ClusterName) -> dict[str, str]:
    """Return why repositories that hold something of `cluster` are away, by their names; a clause each, without a full stop.

    A cloud is away where the newest sync could not look at it; the clause then says when that was.
    """
    told = _told_by_sync(tx, cluster)
    found = {}
    for name in config.cluster_repositories(cluster):
        folder = config.repositories[name].directory
        why = told.get(name, "") if folder is None else asked(folder) if held_something(tx, cluster, name) else ""
        if why:
            found[name] = why
    return found


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
        one["repository"]: f"{str(one['problem']).rstrip('.')} (the sync of {at})" for one in rows if one.get("away")
    }


def looked_at(folder: Path) -> str:
    """Return what keeps a repository's folder from being used; nothing where it seems to be whole."""
    try:
        if not folder.is_dir():
            return f"its folder {folder} is not there"
        return "" if (folder / KEYS).is_dir() else f"its folder {folder} holds no data keys"
    except OSError as error:
        return f"its folder {folder} cannot be looked at: {error.strerror}"


def asked(folder: Path, look: Callable[[Path], str] = looked_at, within_s: float = WITHIN_S) -> str:
    """Return what `look` says of a folder, or that it does not answer: one on a dead mount is waited for no longer."""
    answers: list[str] = []
    asking = Thread(target=lambda: answers.append(look(folder)), daemon=True)
    asking.start()
    asking.join(within_s)
    return answers[0] if answers else f"its folder {folder} does not answer"

"""What one repository lists of a cluster, read once: every history with its backups, what the ledger remembers not read again."""

from __future__ import annotations

from dataclasses import dataclass

from bot.config import Config
from bot.errors import Unavailable, Usage
from bot.ledger import Ledger, catalogue
from bot.model.backups import BackupSummary
from bot.model.ids import ClusterName, SystemId
from bot.repository.cluster import ClusterRepository
from bot.repository.open import open_repository
from bot.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class History:
    """One history (system identifier) of a cluster in one repository, and its backups, oldest first."""

    repository: ClusterRepository
    backups: tuple[BackupSummary, ...]


@dataclass(frozen=True, slots=True)
class Histories:
    """Everything that one repository lists of one cluster."""

    opened: Repository
    each: tuple[History, ...]

    @property
    def newest(self) -> History | None:
        """The one history, or of several the one whose backup is newest; None where there is none."""
        return max(self.each, key=lambda one: max((b.id for b in one.backups), default=""), default=None)

    def of(self, system_id: SystemId) -> History | None:
        """Return the history of a system identifier, or None."""
        return next((one for one in self.each if one.repository.system_id == system_id), None)


def read_histories(config: Config, ledger: Ledger | None, name: str, cluster: ClusterName) -> Histories:
    """Open repository `name` and list the backups of `cluster` in it.

    Raises:
        Usage: the repository is missing, or its key is.
        Unavailable: the repository cannot be reached.
    """
    opened = open_repository(name, config.repositories[name], config.encryption)
    found = []
    for system in opened.systems(cluster):
        history = opened.cluster(cluster, system)
        recall(ledger, history)
        found.append(History(history, tuple(history.backups())))
    return Histories(opened, tuple(found))


def recall(ledger: Ledger | None, history: ClusterRepository) -> None:
    """Tell a history what was read of it before; a ledger that cannot be read only makes the list slower."""
    if ledger is None:
        return
    try:
        with ledger.read() as tx:
            seen = catalogue.seen(tx, history.name, history.repository.name)
    except (Unavailable, Usage):
        return
    history.catalogue.recall({b: one for b, one in seen.items() if one.summary.system_id == history.system_id})

"""The copies that an approved restore reads from: the one it was planned with, and others that hold the same bytes.

A plan names a repository and is bound to the hash of a manifest. Where that repository is away, or an object in it turns out
damaged, the same object is read from another repository that holds the backup: the same bytes, which the hash proves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.config import Config
from bot.errors import Corruption, PitstopError, Unavailable, Usage
from bot.model.plans import ChainLink, Steps
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.keys.lost import KeyUnopened
from jobs.context import utc_now
from jobs.damage import note_damage
from jobs.repositories import open_for_reading


@dataclass
class Elsewhere:
    """What had to be read from another repository than planned, in sentences for people. Thread-safe.

    Each damaged copy is marked where it lies, once, so that the next plan passes it over.
    """

    now: Callable[[], datetime] = utc_now
    on_note: Callable[[str], None] = lambda _: None
    sentences: list[str] = field(default_factory=list)
    _clusters: Mapping[str, ClusterRepository] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, cluster: ClusterRepository, others: Sequence[ClusterRepository]) -> ClusterRepository:
        """Return `cluster` with the others beside it; what is damaged in it is noted here."""
        self._clusters = {one.repository.name: one for one in (cluster, *others)}
        name = cluster.repository.name
        return cluster.beside(others, lambda damage, other: self._told(name, damage, other))

    def say(self, sentence: str) -> None:
        """Note a sentence for people."""
        with self._lock:
            if sentence in self.sentences:
                return
            self.sentences.append(sentence)
        self.on_note(sentence)

    def _told(self, name: str, damage: ObjectDamaged | ObjectMissing | KeyUnopened, other: str) -> None:
        self.say(f"In {name}: {damage.message} It was read from {other}.")
        if isinstance(damage, KeyUnopened):
            return  # with its key it may open again
        backup = layout.backup_of(damage.path)
        if backup is not None:
            with self._lock:
                note_damage(self._clusters[name], backup, damage.message, self.now())


@dataclass(frozen=True)
class Copies:
    """`cluster` reads a plan's chain, with the `others` that answer beside it; `elsewhere` says what was not as planned."""

    cluster: ClusterRepository
    others: tuple[ClusterRepository, ...]
    elsewhere: Elsewhere


def open_copies(config: Config, steps: Steps) -> Copies:
    """Open what `steps` name: exactly their system, in their repository, or in one that holds the same backups while that is away.

    Raises:
        Usage: the repository is not configured any more, holds nothing of this cluster, or the key is wrong.
        Unavailable: it cannot be reached.
    """
    elsewhere = Elsewhere()
    opened: dict[str, ClusterRepository] = {}
    away: dict[str, PitstopError] = {}
    for name in _names(config, steps):
        try:
            opened[name] = open_for_reading(config, name, steps.cluster, steps.system_id)
        except (Unavailable, Usage) as error:
            away[name] = error
    first = opened.get(steps.repository)
    if first is None:
        trouble = away.get(steps.repository) or _not_configured(steps)
        first = next((one for one in opened.values() if _holds(one, steps.chain)), None)
        if first is None:
            raise trouble
        elsewhere.say(f"{trouble.message} {first.repository.name} holds the same backup, and is read instead.")
    others = tuple(one for one in opened.values() if one is not first)
    return Copies(elsewhere.watch(first, others), others, elsewhere)


def _names(config: Config, steps: Steps) -> list[str]:
    others = [name for name in config.nearest_repositories(steps.cluster) if name != steps.repository]
    return [*([steps.repository] if steps.repository in config.repositories else []), *others]


def _holds(cluster: ClusterRepository, chain: Sequence[ChainLink]) -> bool:
    """Say whether a repository holds the very backups that were approved."""
    try:
        return all(cluster.manifest(link.backup).sha256 == link.manifest_sha256 for link in chain)
    except (Usage, Corruption, Unavailable):
        return False


def _not_configured(steps: Steps) -> Usage:
    return Usage(
        f"The repository {steps.repository} is not in the configuration any more.",
        hint="Was it renamed? Put it back, or ask again.",
        code="no-repository",
    )

"""Where a backup is written: the cluster's first repository, or with `copies = "at-once"` all of them at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.errors import PitstopError, Unavailable, Usage
from bot.model.ids import BackupId, SystemId
from bot.repository.cluster import ClusterRepository
from bot.repository.damage import ObjectDamaged
from bot.repository.repository import Repository
from bot.repository.stores.tee import Tee
from bot.repository.transfer import copy_key
from jobs.catalogue import publish_catalogue
from jobs.context import JobContext
from jobs.repositories import open_for_writing, repository_name


@dataclass(frozen=True)
class Places:
    """`cluster` is what is written to; `opened` are the repositories behind it, `tee` writes to them where there are several."""

    cluster: ClusterRepository
    opened: Mapping[str, ClusterRepository]
    tee: Tee | None = None

    @property
    def left(self) -> dict[str, ClusterRepository]:
        """The repositories that have all of the backup so far, at least one.

        Raises:
            PitstopError: why the last one was left.
        """
        if self.tee is None:
            return dict(self.opened)
        names = self.tee.left
        return {name: cluster for name, cluster in self.opened.items() if name in names}

    @property
    def warnings(self) -> list[str]:
        """What kept repositories from getting this backup at once, in sentences."""
        failures = self.tee.failures if self.tee is not None else {}
        return [
            f"{name} does not have this backup yet; a sync brings it there: {e.message}" for name, e in failures.items()
        ]

    @property
    def not_in(self) -> list[str]:
        """The names of the repositories that were to get this backup at once, and did not."""
        return list(self.tee.failures) if self.tee is not None else []

    def each(self, step: Callable[[ClusterRepository], object]) -> None:
        """Do a step in each repository; one that is away is left out of this backup.

        Raises:
            PitstopError: of the last one that was left, also where another thread left it out before.
        """
        for name, cluster in self.left.items():
            try:
                step(cluster)
            except Unavailable as error:
                if self.tee is None:
                    raise
                self.tee.leave_out(name, error)

    def agree(self, backup: BackupId) -> None:
        """Leave out every repository that does not list the very objects of a backup that the first one has."""
        if self.tee is None:
            return
        first, *others = self.left.items()
        wanted = _listed(first[1], backup)
        for name, cluster in others:
            try:
                differs = _listed(cluster, backup) != wanted
            except Unavailable as error:
                self.tee.leave_out(name, error)
                continue
            if differs:
                told = f"{name} does not list what was written into it for {backup}."
                self.tee.leave_out(name, Unavailable(told, hint="Who deletes there?", code="storage-failed"))

    def publish(self, context: JobContext) -> None:
        """Renew the ledger's copy of the catalogue of each repository that has the backup."""
        for name, cluster in self.left.items():
            publish_catalogue(context, cluster, name)


def open_places(context: JobContext, system_id: SystemId, segment_bytes: int, *, major: int) -> Places:
    """Open the repositories that a run writes to: the one it names, or what the cluster's `copies` says.

    Raises:
        Usage, Unavailable: the repository cannot be used; with several, none of them can.
        Refused: the folder, or its backups, belong to another cluster.
    """

    def opened(name: str, like: Sequence[Repository] = ()) -> ClusterRepository:
        return open_for_writing(
            context.config, context.ledger, name, context.run.cluster, system_id, segment_bytes, major=major, like=like
        )

    names = list(context.config.cluster_repositories(context.run.cluster))
    at_once = context.config.cluster(context.run.cluster).copies == "at-once" and len(names) > 1
    if not at_once or "repository" in context.run.args:
        name = repository_name(context)
        cluster = opened(name)
        return Places(cluster, {name: cluster})
    found: dict[str, ClusterRepository] = {}
    failures: dict[str, PitstopError] = {}
    for name in names:
        try:
            found[name] = opened(name, [one.repository for one in list(found.values())[:1]])
            _share_key(next(iter(found.values())).repository, found[name].repository)
        except (Unavailable, Usage, ObjectDamaged) as error:
            found.pop(name, None)
            failures[name] = error
    if not found:
        raise next(iter(failures.values()))
    return _several(found, failures)


def _share_key(first: Repository, other: Repository) -> None:
    """Bring the data key that the backup is sealed with, so that the objects are the same everywhere."""
    key_id, _ = first.keys.current()
    if other is not first and key_id not in other.keys.ids():
        copy_key(first, other, key_id)


def _several(found: Mapping[str, ClusterRepository], failures: Mapping[str, PitstopError]) -> Places:
    tee = Tee({name: cluster.repository.store for name, cluster in found.items()})
    tee.failures.update(failures)
    first = next(iter(found.values()))
    repository = Repository(" and ".join(found), tee, first.repository.keys, first.repository.codec)
    return Places(ClusterRepository(repository, first.name, first.system_id, first.segment_bytes), found, tee)


def _listed(cluster: ClusterRepository, backup: BackupId) -> dict[str, int]:
    return {info.path: info.size for info in cluster.objects(backup)}

"""Volumes that the storage moved to an archive (Glacier, Azure's archive tier): which, how large, and asking for them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bot.model.ids import BackupId
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.stores import ObjectInfo
from bot.repository.stores.cloud import CloudStore


@dataclass(frozen=True, slots=True)
class Archived:
    """What of a backup cannot be read now. `asked`: those of them whose retrieval is on its way."""

    objects: tuple[ObjectInfo, ...] = ()
    asked: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Their bytes as stored."""
        return sum(info.size for info in self.objects)


def archived(cluster: ClusterRepository, backup: BackupId, archives: Iterable[str] | None = None) -> Archived:
    """Look which volumes of a backup (of some of its archives) have to be retrieved first. One listing; nothing is asked for.

    Raises:
        Unavailable: the storage is away.
    """
    store = cluster.repository.store
    if not isinstance(store, CloudStore):
        return Archived()
    folder = layout.volumes_of(cluster.name, cluster.system_id, backup)
    wanted = None if archives is None else tuple(f"{folder}/{name}/" for name in archives)
    listed = [i for i in store.list(folder) if i.archived and (wanted is None or i.path.startswith(wanted))]
    if not listed:
        return Archived()
    with ThreadPoolExecutor(store.reads_at_once, thread_name_prefix="archived") as pool:
        states = list(pool.map(lambda info: store.asleep(info.path), listed))
    found = [(info, state) for info, state in zip(listed, states, strict=True) if state != "awake"]
    return Archived(
        tuple(info for info, _ in found), frozenset(info.path for info, state in found if state == "waking")
    )


def retrieve(cluster: ClusterRepository, what: Archived) -> int:
    """Ask for everything that was not asked for yet; it costs money and takes hours. Return how many were asked for.

    Raises:
        Unavailable: `storage-forbidden`, or the storage is away.
    """
    store = cluster.repository.store
    assert isinstance(store, CloudStore), "nothing else has an archive"
    paths = [info.path for info in what.objects if info.path not in what.asked]
    with ThreadPoolExecutor(store.reads_at_once, thread_name_prefix="archived") as pool:
        for done in [pool.submit(store.retrieve, path) for path in paths]:
            done.result()
    return len(paths)

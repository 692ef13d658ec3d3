"""Remove backups so that a crash anywhere leaves each of them whole or invisible, and what is left over is known for what it is.

A note that it expires comes first, then the manifest goes and with it the backup; then its volumes, then its other records, and
the note last. What has no manifest is therefore one of three things: unfinished (volumes and nothing else), expired halfway, or an
orphan whose manifest somebody else removed.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime

from bot.model.ids import BackupId
from bot.repository import events, layout
from bot.repository.cluster import ClusterRepository, was_finished
from bot.repository.stores import ObjectInfo

EXPIRED, ORPHANED = "expired", "orphaned"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Objects of a backup without a manifest, `bytes_stored` in all.

    `expired` says that removing it was decided and begun. Else it is an orphan, seen as such since `since` (None: not before).
    """

    backup: BackupId
    expired: bool
    since: datetime | None
    bytes_stored: int


def expire_backup(cluster: ClusterRepository, backup: BackupId, *, reason: str, at: datetime) -> int:
    """Remove a backup and return the bytes that are free now. Idempotent; ended anywhere, `leftovers` finds the rest.

    Raises:
        Unavailable: the store is away, or does not let go of an object; the backup is whole, or gone but for a leftover.
    """
    folder = layout.backup(cluster.name, cluster.system_id, backup)
    store = cluster.repository.store
    if not _noted(list(store.list(f"{folder}/events")), EXPIRED):
        events.record(cluster.repository, folder, EXPIRED, at=at, text=reason)
    size = sum(info.size for info in store.list(layout.manifest(folder)))
    store.delete(layout.manifest(folder))
    return size + remove_leftover(cluster, backup)


def remove_leftover(cluster: ClusterRepository, backup: BackupId) -> int:
    """Remove all that is left of a backup without a manifest, what says why it is left last; return the bytes. Idempotent.

    Raises:
        Conflict: `backup-exists`, it has a manifest.
        Unavailable: as `expire_backup`.
    """
    folder = layout.backup(cluster.name, cluster.system_id, backup)
    cluster.require_no_manifest(backup)
    objects = sorted(cluster.objects(backup), key=lambda info: _rank(folder, info.path))
    for info in objects:
        cluster.repository.store.delete(info.path)
    return sum(info.size for info in objects)


def leftovers(cluster: ClusterRepository, *, known: Container[BackupId] = ()) -> list[Leftover]:
    """Return what is left of backups that were finished once: they have a summary or events, or are `known` to have existed."""
    found = []
    for backup in cluster.without_manifest():
        folder = layout.backup(cluster.name, cluster.system_id, backup)
        objects = cluster.objects(backup)
        if objects and (was_finished(folder, objects) or backup in known):
            size = sum(info.size for info in objects)
            found.append(Leftover(backup, bool(_noted(objects, EXPIRED)), _since(objects), size))
    return found


def note_orphan(cluster: ClusterRepository, backup: BackupId, at: datetime) -> None:
    """Note that a backup was found without its manifest, so that what is left is kept for a while from now on."""
    cluster.record_event(backup, ORPHANED, at=at, text="its manifest was removed by somebody else")


def _rank(folder: str, path: str) -> tuple[int, str]:
    last = any(path.endswith(f"-{kind}") for kind in (EXPIRED, ORPHANED))
    return (2 if last else 1 if path.startswith(f"{folder}/") else 0, path)


def _noted(objects: list[ObjectInfo], kind: str) -> list[str]:
    """Return the names of the events of a kind; the name alone tells, also where the object is damaged."""
    return [o.path.rsplit("/", 1)[1] for o in objects if "/events/" in o.path and o.path.endswith(f"-{kind}")]


def _since(objects: list[ObjectInfo]) -> datetime | None:
    times = [layout.event_time(name) for name in _noted(objects, ORPHANED)]
    return min((at for at in times if at is not None), default=None)

"""Which volumes the storage's lifecycle may age: a tag on each, and an event beside the backup that says so.

The event comes before the tags and is taken back after them: wherever this ends, a backup without the event has no tags.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.model.ids import BackupId
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.stores.cloud import CloudStore

RELEASED, TAKEN_BACK = "released", "taken-back"


def ages(cluster: ClusterRepository) -> bool:
    """Say whether the storage has a lifecycle that asks for our tags."""
    store = cluster.repository.store
    return isinstance(store, CloudStore) and store.cloud.tags


def released(cluster: ClusterRepository) -> set[BackupId]:
    """Return the backups whose volumes the lifecycle may age now: one listing, nothing is read."""
    last: dict[BackupId, str] = {}
    for path in cluster.repository.store.names(layout.backups(cluster.name, cluster.system_id)):
        backup, name = layout.backup_of(path), path.rsplit("/", 1)[1]
        if backup is not None and name.endswith((f"-{RELEASED}", f"-{TAKEN_BACK}")):
            last[backup] = max(last.get(backup, ""), name)
    return {backup for backup, name in last.items() if name.endswith(f"-{RELEASED}")}


def release(cluster: ClusterRepository, backup: BackupId, *, at: datetime, reason: str) -> int:
    """Let the lifecycle age a backup's volumes, and return how many there are; never its records or its WAL.

    Raises:
        Unavailable: the storage is away, or does not allow tags.
    """
    store = cluster.repository.store
    assert isinstance(store, CloudStore), "nothing else has a lifecycle"
    _note(cluster, backup, RELEASED, at, reason)
    paths = _volumes(cluster, backup)
    for path in paths:
        store.leave_window(path)
    return len(paths)


def take_back(cluster: ClusterRepository, backup: BackupId, *, at: datetime, reason: str) -> int:
    """Forbid the lifecycle to age a backup's volumes (any more), and return how many there are. Idempotent.

    Raises:
        Unavailable: as `release`; the backup counts as released still.
    """
    store = cluster.repository.store
    assert isinstance(store, CloudStore), "nothing else has a lifecycle"
    paths = _volumes(cluster, backup)
    for path in paths:
        store.enter_window(path)
    _note(cluster, backup, TAKEN_BACK, at, reason)
    return len(paths)


def _volumes(cluster: ClusterRepository, backup: BackupId) -> list[str]:
    names = cluster.repository.store.names(layout.volumes_of(cluster.name, cluster.system_id, backup))
    return sorted(path for path in names if layout.kind_of(path) == "volume")


def _note(cluster: ClusterRepository, backup: BackupId, kind: str, at: datetime, reason: str) -> None:
    """Write the event, a moment after the last one where a clock was set back since: the later event decides."""
    folder = f"{cluster.folder(backup)}/events"
    known = (layout.event_time(path.rsplit("/", 1)[1]) for path in cluster.repository.store.names(folder))
    moment = timedelta(microseconds=1)
    cluster.record_event(
        backup, kind, at=max([at, *(other + moment for other in known if other is not None)]), text=reason
    )

"""Re-read everything kept of a cluster, and say what is damaged: a result, never an exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ParamSpec

from bot.errors import Corruption, PitstopError, Refused, Usage
from bot.model.ids import BackupId
from bot.model.wal import parse_history, parse_history_name, parse_segment_name
from bot.repository import events, layout, reader
from bot.repository.cluster import ClusterRepository
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.keys.form import decode
from bot.repository.keys.lost import KeyGone, KeyLost
from bot.repository.layout import KEYS, key_folder
from bot.repository.manifest import Archive, Manifest, Volume
from bot.repository.repository import Repository
from bot.repository.stores import ObjectInfo, Store

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged, missing or foreign object: its path, chunk and piece where known, and a sentence."""

    path: str
    chunk: int | None
    piece: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Part:
    """One object that is there, or that a manifest says should be (`suspect`, as where its size is not the one recorded).

    `kind` is key, identity, manifest, summary, event, index, volume, wal or other; `size` bytes as stored.
    `archived`: it lies where it has to be retrieved from first.
    """

    path: str
    kind: str
    size: int
    modified: datetime
    backup: BackupId | None = None
    suspect: bool = False
    archive: Archive | None = None
    volume: Volume | None = None
    archived: bool = False

    @property
    def lost(self) -> bool:
        """Whether it is the manifest of a backup that was finished and has none any more; or is having it written just now."""
        return self.kind == "manifest" and self.size == 0 and self.suspect

    @property
    def vital(self) -> bool:
        """Whether its backup cannot be restored without it; a summary is made anew, an event only says something."""
        return self.kind in {"manifest", "index", "volume"}


def parts(cluster: ClusterRepository) -> Iterator[Part]:
    """Yield every object kept of `cluster` and its data keys, and those its manifests name; reads manifests alone.

    Of backups without a manifest all is passed over: it is being written, or waits to be cleared away. But where one was
    finished, and nothing says that it expires, its manifest is yielded, as `lost`.
    """
    store, root = cluster.repository.store, layout.system(cluster.name, cluster.system_id)
    for info in store.list(KEYS):
        yield Part(info.path, "key", info.size, info.modified)
    folders: dict[BackupId, dict[str, ObjectInfo]] = {}
    for info in store.list(root):
        backup = layout.backup_of(info.path)
        if backup is not None:
            folders.setdefault(backup, {})[info.path] = info
            continue
        kind = "wal" if info.path.startswith(f"{root}/wal/") else "other"
        kind = "identity" if info.path == layout.identity(cluster.name, cluster.system_id) else kind
        yield Part(info.path, kind, info.size, info.modified, archived=info.archived)
    for backup, objects in folders.items():
        folder = layout.backup(cluster.name, cluster.system_id, backup)
        if layout.manifest(folder) in objects:
            yield from _backup_parts(cluster, backup, objects)
        elif layout.summary(folder) in objects and not any(path.endswith("-expired") for path in objects):
            written = objects[layout.summary(folder)].modified
            yield Part(layout.manifest(folder), "manifest", 0, written, backup, suspect=True)


def _backup_parts(cluster: ClusterRepository, backup: BackupId, objects: dict[str, ObjectInfo]) -> Iterator[Part]:
    folder = layout.backup(cluster.name, cluster.system_id, backup)
    written = objects[layout.manifest(folder)]
    named: dict[str, Part] = {}
    readable = True
    try:
        manifest = cluster.manifest(backup)
    except (Corruption, Usage):
        readable = False
    else:
        for archive in manifest.archives:
            if archive.index is not None:
                named[archive.index] = Part(archive.index, "index", 0, written.modified, backup, True, archive)
            for volume in archive.volumes:
                size = volume.bytes_stored
                named[volume.path] = Part(volume.path, "volume", size, written.modified, backup, True, archive, volume)
    kinds = {layout.manifest(folder): "manifest", layout.summary(folder): "summary"}
    for path, info in objects.items():
        part = named.pop(path, None)
        if part is not None:
            wrong = part.kind == "volume" and part.size != info.size
            yield replace(part, size=info.size, modified=info.modified, suspect=wrong, archived=info.archived)
        else:
            kind = kinds.get(path, "event" if path.startswith(f"{folder}/events/") else "other")
            yield Part(path, kind, info.size, info.modified, backup, suspect=kind == "manifest" and not readable)
    yield from named.values()


def examine_object(cluster: ClusterRepository, part: Part) -> list[Damage]:
    """Read one object whole, and return what is wrong with it.

    Raises:
        Unavailable: the repository could not be reached; nothing was proved. KeyLost: its data key does not open now.
    """
    repository, path = cluster.repository, part.path
    match part.kind:
        case "key":
            return [*_caught(path, _key, repository.store, path), *_caught(path, _proved, cluster, path)]
        case "identity":
            return list(_caught(path, _identity, cluster))
        case "manifest" if part.backup is not None:
            return list(_caught(path, _manifest, cluster, part.backup, path))
        case "summary" if part.backup is not None:
            return list(_caught(path, _summary_of, cluster, part.backup))
        case "event":
            return list(_caught(path, events.read_event, repository, path))
        case "index" if part.archive is not None:
            return list(_caught(path, _drain, reader.members(repository, part.archive)))
        case "volume" if part.volume is not None:
            return list(_caught(path, _drain, reader.pieces(repository, part.volume)))
        case "wal":
            return list(_caught(path, _wal, cluster, path))
        case _:
            return list(_caught(path, _opened, repository, path))


def _proved(cluster: ClusterRepository, path: str) -> None:
    cluster.repository.keys.prove(path.split("/")[1])


def _manifest(cluster: ClusterRepository, backup: BackupId, path: str) -> None:
    if not cluster.repository.store.exists(path):
        raise ObjectMissing(path)
    cluster.manifest(backup)


def _summary_of(cluster: ClusterRepository, backup: BackupId) -> None:
    """Hold a summary to its manifest; where that cannot be read, to itself."""
    try:
        manifest = cluster.manifest(backup)
    except (Corruption, Usage):
        cluster.stored_summary(backup)
        return
    _summary(cluster, manifest, layout.backup(cluster.name, cluster.system_id, backup))


def examine(cluster: ClusterRepository, on_bytes: Callable[[int], None] = lambda _: None) -> Iterator[Damage]:
    """Yield all damage in what is kept of `cluster`, its data keys included. Slow: reads every byte; `on_bytes` counts input.

    Raises:
        Unavailable: the repository could not be reached; nothing was proved about the rest.
    """
    yield from _keys(cluster)
    yield from _caught(layout.identity(cluster.name, cluster.system_id), _identity, cluster)
    for summary in cluster.backups():
        yield from examine_backup(cluster, summary.id, on_bytes)
    for info in cluster.repository.store.list(layout.wal(cluster.name, cluster.system_id)):
        yield from _caught(info.path, _wal, cluster, info.path)


def examine_backup(
    cluster: ClusterRepository, backup: BackupId, on_bytes: Callable[[int], None] = lambda _: None
) -> Iterator[Damage]:
    """Yield all damage in one backup; without its manifest, what the envelopes of the other objects say."""
    folder = layout.backup(cluster.name, cluster.system_id, backup)
    try:
        manifest = cluster.manifest(backup)
    except (Corruption, Usage) as error:
        yield _damage(error, layout.manifest(folder))
        yield from _envelopes(cluster, backup)
        return
    yield from _caught(layout.summary(folder), _summary, cluster, manifest, folder)
    for archive in manifest.archives:
        yield from _caught(archive.index or "", _drain, reader.members(cluster.repository, archive))
        for volume in archive.volumes:
            yield from _caught(volume.path, _drain, reader.pieces(cluster.repository, volume), on_bytes)
    yield from _others(cluster, manifest, folder)


def _envelopes(cluster: ClusterRepository, backup: BackupId) -> Iterator[Damage]:
    """Open every object of a backup but its manifest."""
    for info in cluster.objects(backup):
        if info.path != layout.manifest(layout.backup(cluster.name, cluster.system_id, backup)):
            yield from _caught(info.path, _opened, cluster.repository, info.path)


def _opened(repository: Repository, path: str) -> None:
    for _ in repository.unseal(path):
        pass


def _others(cluster: ClusterRepository, manifest: Manifest, folder: str) -> Iterator[Damage]:
    """Read the events, and name what does not belong to the backup."""
    known = {layout.manifest(folder), layout.summary(folder)}
    for archive in manifest.archives:
        known.update(volume.path for volume in archive.volumes)
        known.update({archive.index} if archive.index else ())
    for info in cluster.objects(manifest.id):
        if info.path.startswith(f"{folder}/events/"):
            yield from _caught(info.path, events.read_event, cluster.repository, info.path)
        elif info.path not in known:
            yield Damage(info.path, None, None, f"The object {info.path} is not a part of the backup it lies with.")


def _summary(cluster: ClusterRepository, manifest: Manifest, folder: str) -> None:
    path = layout.summary(folder)
    if cluster.stored_summary(manifest.id) != manifest.summary():
        raise ObjectDamaged(path, "it does not say what the manifest says")


def _keys(cluster: ClusterRepository) -> Iterator[Damage]:
    store, ring = cluster.repository.store, cluster.repository.keys
    for info in store.list(KEYS):
        yield from _caught(info.path, _key, store, info.path)
    for key_id in ring.ids():
        yield from _caught(key_folder(key_id), ring.prove, key_id)


def _key(store: Store, path: str) -> None:
    decode(store.read(path), path)


def _identity(cluster: ClusterRepository) -> None:
    cluster.repository.read_body(layout.identity(cluster.name, cluster.system_id))
    cluster.repository.cluster(cluster.name, cluster.system_id)


def _wal(cluster: ClusterRepository, path: str) -> None:
    """Read one object below `wal/` and compare its length with what its name says."""
    name = path.rsplit("/", 1)[1]
    content = cluster.repository.read_body(path)
    if parse_history_name(name) is not None:
        _parsed_history(content, path)
        return
    piece = layout.parse_piece(name)
    try:
        wanted = piece[1] - piece[0] if piece else cluster.segment_bytes
        if piece is None:
            parse_segment_name(name, cluster.segment_bytes)
    except ValueError:
        raise ObjectDamaged(path, "nothing of that name belongs there") from None
    if len(content) != wanted:
        raise ObjectDamaged(path, f"it holds {len(content)} bytes instead of {wanted}")


def _parsed_history(content: bytes, path: str) -> None:
    try:
        parse_history(content.decode())
    except ValueError as error:
        raise ObjectDamaged(path, str(error)) from None


def _drain(values: Iterator[object], on_bytes: Callable[[int], None] = lambda _: None) -> None:
    for value in values:
        if isinstance(value, bytes):
            on_bytes(len(value))


def _caught(path: str, check: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Iterator[Damage]:
    """Run a check of the object at `path`; a data key that is gone damages what needs it.

    Raises:
        KeyLost: its data key does not open now, and may again: that is no damage.
    """
    try:
        check(*args, **kwargs)
    except KeyLost:
        raise
    except (Corruption, Usage, Refused) as error:
        yield _damage(error, path)


def _damage(error: PitstopError, path: str) -> Damage:
    if isinstance(error, ObjectDamaged):
        return Damage(error.path, error.chunk, error.piece, error.message)
    if isinstance(error, KeyGone):
        if set(error.more["backups"]) - {
            layout.backup_of(path)
        }:  # it is the key that is missing, and may be brought back
            return Damage(f"{key_folder(error.key_id)}/1", None, None, error.of_the_key)
        return Damage(path, None, None, f"The object {path} cannot be read: {error.short}.")
    return Damage(error.path if isinstance(error, ObjectMissing) else path, None, None, error.message)

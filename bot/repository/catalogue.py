"""The backups of one history, read from one listing of their records; what was read before and lies unchanged is not read again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from bot.errors import Usage
from bot.model.backups import BackupSummary, Seen
from bot.model.ids import BackupId, backup_kind, backup_time, is_backup_id
from bot.model.wal import Lsn
from bot.repository import envelope, events, layout
from bot.repository.codec import unframe
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.keys.lost import KeyUnopened
from bot.repository.stores import ObjectInfo

if TYPE_CHECKING:
    from bot.repository.cluster import ClusterRepository

_FORGETS = (ObjectMissing, ObjectDamaged, KeyUnopened)


@dataclass(frozen=True, slots=True)
class _Records:
    """What a listing shows of one backup: `stamp` changes when any record is added, removed or replaced."""

    backup: BackupId
    summary: bool
    events: tuple[ObjectInfo, ...]
    stamp: str


class Catalogue:
    """The list of one history's backups. Thread-safe.

    Manifests, summaries and events are written once, so a backup whose records have the names, sizes and times they had when
    they were read says what it said then. Only what was read without any doubt is remembered, and only while the data keys open
    that it was read with: damage, and a key that is lost, are looked at anew each time.
    """

    def __init__(self, cluster: ClusterRepository) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._seen: dict[BackupId, Seen] = {}

    def recall(self, seen: Mapping[BackupId, Seen]) -> None:
        """Take over what another process read before; it is believed only where the listing shows the same records."""
        with self._lock:
            self._seen = {**seen, **self._seen}

    def seen(self) -> dict[BackupId, Seen]:
        """Return what may be remembered of the last listing."""
        with self._lock:
            return dict(self._seen)

    def read(self) -> list[BackupSummary]:
        """Return every backup that has a manifest, oldest first: one listing, and what is new in it."""
        folder = layout.backups(self._cluster.name, self._cluster.system_id)
        known = self._believed()
        records = list(_by_backup(self._cluster.repository.store.list(folder), folder))
        found = {one.backup: known[one.backup] for one in records if _unchanged(known.get(one.backup), one)}
        new = [one for one in records if one.backup not in found]
        for seen in self._read_all(new):
            found[seen.summary.id] = seen
        with self._lock:
            self._seen = {backup: seen for backup, seen in found.items() if seen.stamp}
        return [found[one.backup].summary for one in records if one.backup in found]

    def find(self, backup: BackupId) -> BackupSummary | None:
        """Return one backup as `read` lists it, or None when there is none of that id."""
        folder = layout.backups(self._cluster.name, self._cluster.system_id)
        objects = self._cluster.repository.store.list(f"{folder}/{backup}")
        seen = [self._read_one(one) for one in _by_backup(objects, folder)]
        return seen[0].summary if seen and seen[0] else None

    def _believed(self) -> dict[BackupId, Seen]:
        """Return what is remembered and was read with data keys that open now."""
        seen, opens = self.seen(), dict[str, bool]()
        for key in {key for one in seen.values() for key in one.keys}:
            try:
                self._cluster.repository.keys.key(key)
                opens[key] = True
            except _FORGETS:
                opens[key] = False
        return {backup: one for backup, one in seen.items() if all(opens[key] for key in one.keys)}

    def _read_all(self, new: list[_Records]) -> Iterator[Seen]:
        """Read the records of several backups, at once where each request mostly waits."""
        at_once = self._cluster.repository.store.reads_at_once
        if at_once == 1 or len(new) < 2:
            yield from (seen for one in new if (seen := self._read_one(one)) is not None)
            return
        with ThreadPoolExecutor(min(at_once, len(new)), thread_name_prefix="catalogue") as pool:
            yield from (seen for seen in pool.map(self._read_one, new) if seen is not None)

    def _read_one(self, records: _Records) -> Seen | None:
        """Read a backup's summary and events; None when it was removed meanwhile. What leaves a doubt has no stamp."""
        keys: set[str] = set()
        sure, found = True, None
        if records.summary:
            # Else the manifest says the same, and decides whether the backup is sound.
            with contextlib.suppress(*_FORGETS, Usage):
                found = self._summary(records.backup, keys)
        if found is None:
            sure, found = False, self._without_summary(records.backup)
        if found is None:
            return None
        told = []
        for info in records.events:
            try:
                told.append(events.parsed(self._content(info.path, keys), info.path))
            except ObjectMissing:
                sure = False  # retention is removing the backup; what is not there says nothing
            except (ObjectDamaged, KeyUnopened) as error:
                sure = False
                told.append(events.unread(info, error))
        summary = events.fold(found, sorted(told, key=lambda event: event.at))
        return Seen(summary, records.stamp if sure else "", tuple(sorted(keys)))

    def _summary(self, backup: BackupId, keys: set[str]) -> BackupSummary:
        path = layout.summary(self._cluster.folder(backup))
        return self._cluster.parsed_summary(backup, self._content(path, keys))

    def _content(self, path: str, keys: set[str]) -> bytes:
        """Return an object's content, and note the data key that it was read with."""
        repository = self._cluster.repository

        def key_of(key_id: str) -> bytes:
            keys.add(key_id)
            return repository.keys.key(key_id, path)

        return b"".join(unframe(envelope.unseal(repository.store.get(path), path=path, key_of=key_of), path))

    def _without_summary(self, backup: BackupId) -> BackupSummary | None:
        """Return what a backup's manifest says, or else what its id says, so that one nobody can read is still seen, as damaged."""
        try:
            return self._cluster.manifest(backup).summary()
        except ObjectDamaged as error:
            return self._unreadable(backup, error.message)
        except KeyUnopened as error:
            return self._unreadable(backup, error.short)
        except Usage:
            return None

    def _unreadable(self, backup: BackupId, why: str) -> BackupSummary:
        at = backup_time(backup)
        return BackupSummary(
            id=backup,
            kind=backup_kind(backup),
            cluster=self._cluster.name,
            system_id=self._cluster.system_id,
            started_at=at,
            finished_at=at,
            timeline=0,
            start_lsn=Lsn(0),
            end_lsn=Lsn(0),
            bytes_read=0,
            bytes_stored=0,
            server_version=0,
            segment_bytes=self._cluster.segment_bytes,
            manifest_sha256="",
            damaged=why,
        )


def _unchanged(seen: Seen | None, records: _Records) -> bool:
    return seen is not None and seen.stamp == records.stamp


def _by_backup(objects: Iterable[ObjectInfo], folder: str) -> Iterator[_Records]:
    """Yield what is listed of each backup that has a manifest, in order."""
    held: dict[str, list[ObjectInfo]] = {}
    for info in objects:
        held.setdefault(info.path[len(folder) + 1 :].partition("/")[0], []).append(info)
    for name in sorted(held):
        place = f"{folder}/{name}"
        paths = {info.path for info in held[name]}
        if is_backup_id(name) and layout.manifest(place) in paths:
            told = tuple(info for info in held[name] if info.path.startswith(f"{place}/events/"))
            yield _Records(BackupId(name), layout.summary(place) in paths, told, _stamp(held[name]))


def _stamp(objects: Iterable[ObjectInfo]) -> str:
    digest = blake2b(digest_size=16)
    for info in sorted(objects, key=lambda info: info.path):
        digest.update(f"{info.path} {info.size} {info.modified.timestamp():.6f}\n".encode())
    return digest.hexdigest()

"""One cluster's history in one repository: its catalogue of backups, read from the objects alone, and its WAL."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from bot.errors import Conflict, Usage
from bot.model.backups import BackupSummary
from bot.model.dumps import partial_of
from bot.model.ids import BackupId, ClusterName, SystemId, backup_time, is_backup_id
from bot.repository import elsewhere, events, layout, reader
from bot.repository.backup_writer import DEFAULT_CUT, BackupWriter, Cut
from bot.repository.catalogue import Catalogue
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.manifest import Manifest
from bot.repository.stores import ObjectInfo
from bot.repository.wal import WalArchive

if TYPE_CHECKING:
    from bot.repository.repository import Repository, Told


class ClusterRepository:
    """What is kept of one cluster (name and system identifier) in `repository`. Thread-safe.

    Attributes:
        segment_bytes: the cluster's WAL segment size.
        wal: its WAL.
        catalogue: its list of backups, and what it remembers.
    """

    def __init__(self, repository: Repository, name: ClusterName, system_id: SystemId, segment_bytes: int) -> None:
        self.repository = repository
        self.name = name
        self.system_id = system_id
        self.segment_bytes = segment_bytes
        self.wal = WalArchive(repository, layout.wal(name, system_id), segment_bytes)
        self.catalogue = Catalogue(self)

    def beside(self, others: Sequence[ClusterRepository], told: Told) -> ClusterRepository:
        """Return this history, with the same one in other repositories beside it: what is damaged here is read there."""
        repository = self.repository.beside([other.repository for other in others], told)
        found = ClusterRepository(repository, self.name, self.system_id, self.segment_bytes)
        found.catalogue.recall(self.catalogue.seen())
        return found

    def backups(self) -> list[BackupSummary]:
        """Return every backup that has a manifest, oldest first, with what events say of it (verified, damaged, pinned).

        A missing or damaged summary is rebuilt from the manifest; one whose manifest is damaged as well is listed as damaged.
        One listing, and reads of what `catalogue` has not seen yet.
        """
        return self.catalogue.read()

    def find(self, backup: BackupId) -> BackupSummary | None:
        """Return one backup as `backups` lists it, or None when there is none of that id."""
        return self.catalogue.find(backup) if is_backup_id(backup) else None

    def manifest(self, backup: BackupId) -> Manifest:
        """Read a backup's manifest.

        Raises:
            Usage: `unknown-backup`.
            ObjectDamaged: it cannot be trusted.
        """
        return elsewhere.once(self.repository, lambda source: self._manifest(source, backup))

    def _manifest(self, source: Repository, backup: BackupId) -> Manifest:
        path = layout.manifest(self.folder(backup))
        try:
            found = Manifest.from_bytes(source.read_body(path))
        except ObjectMissing:
            raise Usage(
                f"There is no backup {backup} of {self.name} in the repository {self.repository.name}.",
                hint=f"`pitstop list {self.name}` shows what there is.",
                code="unknown-backup",
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ObjectDamaged(path, f"it cannot be read as a manifest ({error})") from None
        if (found.id, found.cluster, found.system_id) != (backup, self.name, self.system_id):
            raise ObjectDamaged(path, f"it is the manifest of {found.id} of {found.cluster}")
        return found

    def stored_summary(self, backup: BackupId) -> BackupSummary:
        """Return the summary as it was written with the backup, without events.

        Raises:
            ObjectMissing, ObjectDamaged.
        """
        return self.parsed_summary(backup, self.repository.read_body(layout.summary(self.folder(backup))))

    def parsed_summary(self, backup: BackupId, content: bytes) -> BackupSummary:
        """Return the summary that a backup's object holds; what older ones of dumps do not say is read from the manifest.

        Raises:
            ObjectDamaged: it is none, or another backup's. Raises like `manifest` for a dump's older one.
        """
        path = layout.summary(self.folder(backup))
        try:
            data = json.loads(content)
            found = BackupSummary.from_json(data)
        except (ValueError, KeyError, TypeError):
            raise ObjectDamaged(path, "it cannot be read as a summary") from None
        if (found.id, found.cluster, found.system_id) != (backup, self.name, self.system_id):
            raise ObjectDamaged(path, f"it is the summary of {found.id} of {found.cluster}")
        if found.kind == "dump" and "partial" not in data:
            return replace(found, partial=partial_of(self.manifest(backup).body))
        return found

    def begin(self, backup: BackupId, *, workers: int | None = None, cut: Cut = DEFAULT_CUT) -> BackupWriter:
        """Start writing a backup; nothing of it is visible before `commit`. `workers` compress; one for each core unless given.

        Raises:
            Conflict: `backup-exists`, objects of that id are there.
        """
        if not is_backup_id(backup):
            raise ValueError(f"not a backup id: {backup!r}")
        children = self.repository.store.children
        if children(self.folder(backup)) or children(self._volumes(backup)):
            raise Conflict(
                f"There is a backup {backup} already, or an unfinished one.", hint="Try again.", code="backup-exists"
            )
        return BackupWriter(self, backup, workers, cut)

    def read_archive(self, manifest: Manifest, name: str) -> Iterator[bytes]:
        """Yield the content of one archive, e.g. PostgreSQL's `backup_manifest`, verified piece by piece.

        Raises:
            Usage: `unknown-archive`, the backup has no such archive.
            ObjectMissing, ObjectDamaged.
        """
        archive = reader.find_archive(manifest, name)
        for volume in archive.volumes:
            yield from reader.pieces(self.repository, volume)

    def record_event(self, backup: BackupId, kind: str, *, at: datetime, text: str = "") -> None:
        """Append one of `events.KINDS` to a backup, `damaged` and `copy-damaged` with the reason. Idempotent."""
        events.record(self.repository, self.folder(backup), kind, at=at, text=text)

    def delete_unfinished(self, older_than: datetime, *, live: Container[BackupId] = ()) -> list[BackupId]:
        """Delete backups that were never finished, whose newest object and own start are before `older_than`; return their ids.

        `live` are ids some run is still writing (the ledger knows); they are left alone whatever their age. One that was
        finished and lost its manifest since is not deleted either: see `bot.repository.expiring`.
        What interrupted writes left behind in the store goes as well.
        """
        deleted = []
        for backup in self.without_manifest():
            if backup not in live and self._unfinished(backup, older_than):
                self.delete_backup_objects(backup)
                deleted.append(backup)
        self.repository.store.sweep(older_than)
        return deleted

    def delete_backup_objects(self, backup: BackupId) -> None:
        """Delete every object of an unfinished backup: records first, so that what a crash leaves still looks unfinished.

        Raises:
            Conflict: `backup-exists`, it has a manifest: it is a backup, and nothing was deleted.
        """
        self.require_no_manifest(backup)
        for info in self.objects(backup):
            self.repository.store.delete(info.path)

    def objects(self, backup: BackupId) -> list[ObjectInfo]:
        """Return everything that is stored of a backup, finished or not: its records, then its volumes and indexes."""
        store = self.repository.store
        return [*store.list(self.folder(backup)), *store.list(self._volumes(backup))]

    def without_manifest(self) -> list[BackupId]:
        """Return the backups that do not exist, of which something is there: unfinished, expired halfway, or orphans."""
        children = self.repository.store.children
        names = {
            *children(layout.volumes(self.name, self.system_id)),
            *children(layout.backups(self.name, self.system_id)),
        }
        found = (BackupId(name) for name in sorted(names) if is_backup_id(name))
        return [backup for backup in found if not self._exists(backup)]

    def require_no_manifest(self, backup: BackupId) -> None:
        """Make sure that a backup does not exist before its objects are deleted.

        Raises:
            Conflict: `backup-exists`.
        """
        if self._exists(backup):
            raise Conflict(f"{backup} is a finished backup; nothing was deleted.", code="backup-exists")

    def folder(self, backup: BackupId) -> str:
        """Return where a backup's records are."""
        return layout.backup(self.name, self.system_id, backup)

    def _volumes(self, backup: BackupId) -> str:
        return layout.volumes_of(self.name, self.system_id, backup)

    def _exists(self, backup: BackupId) -> bool:
        return self.repository.store.exists(layout.manifest(self.folder(backup)))

    def _unfinished(self, backup: BackupId, bound: datetime) -> bool:
        """Say whether a backup without a manifest never had one, and was not written to since `bound`."""
        folder, objects = self.folder(backup), self.objects(backup)
        newest = max((info.modified for info in objects), default=bound)
        return not was_finished(folder, objects) and backup_time(backup) < bound and newest <= bound


def was_finished(folder: str, objects: list[ObjectInfo]) -> bool:
    """Say whether these objects are those of a backup that was finished: a summary or an event is written just before or after."""
    return any(o.path == layout.summary(folder) or o.path.startswith(f"{folder}/events/") for o in objects)

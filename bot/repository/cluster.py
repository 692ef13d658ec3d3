"""One cluster's history in one repository: its catalogue of backups, read from the objects alone, and its WAL."""

from __future__ import annotations

from collections.abc import Container, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.repository.backup_writer import BackupWriter
from bot.repository.manifest import Manifest
from bot.repository.wal import WalArchive

if TYPE_CHECKING:
    from bot.repository.repository import Repository


class ClusterRepository:
    """What is kept of one cluster (name and system identifier) in `repository`."""

    repository: Repository
    name: ClusterName
    system_id: SystemId
    segment_bytes: int
    wal: WalArchive

    def backups(self) -> list[BackupSummary]:
        """Return every backup that has a manifest, oldest first, with what events say of it (verified, damaged, pinned).

        A missing or damaged summary is rebuilt from the manifest; one whose manifest is damaged as well is listed as damaged.
        """
        raise NotImplementedError

    def manifest(self, backup: BackupId) -> Manifest:
        """Read a backup's manifest.

        Raises:
            Usage: `unknown-backup`.
            ObjectDamaged: it cannot be trusted.
        """
        raise NotImplementedError

    def begin(self, backup: BackupId) -> BackupWriter:
        """Start writing a backup; nothing of it is visible before `commit`.

        Raises:
            Conflict: `backup-exists`, objects of that id are there.
        """
        raise NotImplementedError

    def read_archive(self, manifest: Manifest, name: str) -> Iterator[bytes]:
        """Yield the content of one archive, e.g. PostgreSQL's `backup_manifest`, verified piece by piece.

        Raises:
            Usage: the backup has no such archive.
            ObjectMissing, ObjectDamaged.
        """
        raise NotImplementedError

    def record_event(self, backup: BackupId, kind: str, *, at: datetime, text: str = "") -> None:
        """Append an event to a backup: `verified`, `damaged` (with the reason), `pinned`, `unpinned`, `report`. Idempotent."""
        raise NotImplementedError

    def delete_unfinished(self, older_than: datetime, *, live: Container[BackupId] = ()) -> list[BackupId]:
        """Delete backups without a manifest whose newest object and own start are before `older_than`; return their ids.

        `live` are ids some run is still writing (the ledger knows); they are left alone whatever their age.
        """
        raise NotImplementedError

"""Write one backup: archives cut into volumes, compressed and encrypted in parallel; the manifest last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from bot.model.backups import BackupSummary
from bot.model.ids import BackupId
from bot.model.wal import Lsn


class ArchiveWriter:
    """One archive being written, by one thread; at most one archive of a backup is open at a time."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes, of any length; they are copied. Blocks while the pipeline is full, so memory stays bounded.

        Raises:
            whatever stopped the pipeline: Unavailable when the store is full or away, ObjectDamaged on a malformed tar.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End the archive: returns when its volumes and index are durable."""
        raise NotImplementedError


class BackupWriter:
    """One backup being written. As a context manager it abandons what was not committed.

    Attributes:
        id: the backup's.
        bytes_read, bytes_stored: input taken and bytes durable so far; for progress.
    """

    id: BackupId
    bytes_read: int
    bytes_stored: int

    def archive(
        self, name: str, *, tar: bool = True, tablespace: int | None = None, location: str | None = None
    ) -> ArchiveWriter:
        """Start an archive: `base` or a tablespace's OID as text (tar), or plain bytes such as `backup_manifest` (`tar=False`)."""
        raise NotImplementedError

    def commit(
        self,
        body: Mapping[str, Any],
        *,
        started_at: datetime,
        finished_at: datetime,
        timeline: int,
        start_lsn: Lsn,
        end_lsn: Lsn,
        server_version: int,
        parent: BackupId | None = None,
        damaged: str | None = None,
    ) -> BackupSummary:
        """Make the backup exist: checks that every object is there, then writes the manifest, last and durably.

        `damaged` is the reason when the backup is kept although it is not sound (a corrupt page).

        Raises:
            Conflict: `backup-exists`, the id was committed before.
            ObjectMissing: a volume vanished meanwhile.
        """
        raise NotImplementedError

    def abandon(self) -> None:
        """Stop the threads and delete what was written; nothing once committed. Idempotent."""
        raise NotImplementedError

    def __enter__(self) -> BackupWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()

"""From the server's stream into the repository's archives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bot.errors import Failed
from bot.model.wal import Lsn
from bot.postgres.base_backup import (
    ArchiveStarted,
    BackupEvent,
    Damage,
    Data,
    Finished,
    ManifestData,
    ManifestStarted,
    Started,
)
from bot.repository.backup_writer import ArchiveWriter, BackupWriter
from jobs.base_backup.own_wal import OwnWal
from jobs.context import JobContext

_REPORT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied: WAL from `start_lsn` to `end_lsn` belongs to it."""

    timeline: int
    start_lsn: Lsn
    end_lsn: Lsn
    damage: tuple[Damage, ...]
    warnings: tuple[str, ...]


def copy_into(
    writer: BackupWriter, events: Iterator[BackupEvent], context: JobContext, own_wal: OwnWal | None
) -> Copied:
    """Write every archive, and PostgreSQL's manifest as one more. When it returns, they are durable.

    Raises:
        Failed: the server changed its timeline meanwhile, or ended without saying where.
        PitstopError: whatever stopped the server or the repository.
    """
    archive: ArchiveWriter | None = None
    started: Started | None = None
    reported, total = 0, None
    for event in events:
        if isinstance(event, (Data, ManifestData)):
            assert archive is not None
            for part in event.parts if isinstance(event, Data) else (event.data,):
                archive.write(part)
            if isinstance(event, Data) and event.more is not None:
                archive.write_from(event.more)
            if writer.bytes_read - reported >= _REPORT_BYTES:
                reported = writer.bytes_read
                context.check_cancelled()
                context.progress(reported, max(total or 0, reported))
        elif isinstance(event, ArchiveStarted | ManifestStarted):
            _close(archive)
            archive = _open(writer, event)
        elif isinstance(event, Started):
            started, total = event, event.bytes_total
            context.phase("copy")
            context.progress(0, total)
            if own_wal is not None:
                own_wal.follow(started.timeline, started.start_lsn)
        elif isinstance(event, Finished):
            _close(archive)
            context.progress(writer.bytes_read, writer.bytes_read)
            return _copied(started, event)
    raise Failed("The server ended the backup without saying where.", code="backup-incomplete")


def _open(writer: BackupWriter, event: ArchiveStarted | ManifestStarted) -> ArchiveWriter:
    if isinstance(event, ManifestStarted):
        return writer.archive("backup_manifest", tar=False)
    return writer.archive(event.name, tablespace=event.tablespace_oid, location=event.location)


def _close(archive: ArchiveWriter | None) -> None:
    if archive is not None:
        archive.close()


def _copied(started: Started | None, finished: Finished) -> Copied:
    if started is None or started.timeline != finished.timeline:
        raise Failed(
            "The server changed its timeline during the backup.", hint="Take it again.", code="timeline-changed"
        )
    return Copied(started.timeline, started.start_lsn, finished.end_lsn, finished.damage, finished.warnings)

"""Streaming one base backup out of a server: BASE_BACKUP's answer as a series of events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bot.model.wal import Lsn
from bot.postgres.replication import ReplicationConnection


@dataclass(frozen=True, slots=True)
class TablespaceInfo:
    """One line of the header: `oid` and `location` are None for the data directory itself; `bytes` is an estimate."""

    oid: int | None
    location: str | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Started:
    """The checkpoint is done: WAL is needed from `start_lsn` on."""

    start_lsn: Lsn
    timeline: int
    tablespaces: tuple[TablespaceInfo, ...]

    @property
    def bytes_total(self) -> int:
        """The server's estimate of what will come, in bytes."""
        return sum(t.bytes or 0 for t in self.tablespaces)


@dataclass(frozen=True, slots=True)
class ArchiveStarted:
    """The following `Data` is one tar: the data directory's (`base`), or a tablespace's, named by its OID."""

    name: str
    tablespace_oid: int | None
    location: str | None


@dataclass(frozen=True, slots=True)
class Data:
    """Some bytes of the current archive."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ManifestStarted:
    """The following `ManifestData` is PostgreSQL's backup_manifest."""


@dataclass(frozen=True, slots=True)
class ManifestData:
    """Some bytes of the backup manifest."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """The server has read this many bytes of the current archive."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A page whose checksum is wrong: `file` relative to the data directory, `block` None when only a count was told."""

    file: str
    block: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All was sent: WAL is needed up to `end_lsn`. `damage` is empty for a sound backup; `warnings` are all of the server's."""

    end_lsn: Lsn
    timeline: int
    damage: tuple[Damage, ...] = ()
    warnings: tuple[str, ...] = ()


BackupEvent = Started | ArchiveStarted | Data | ManifestStarted | ManifestData | Progress | Finished


def stream_base_backup(
    conn: ReplicationConnection, *, label: str, max_rate_kib: int = 0, fast: bool = True
) -> Iterator[BackupEvent]:
    """Run BASE_BACKUP and yield its answer piece by piece, in bounded memory.

    Never waits for archiving (WAIT false). Damaged pages do not end it early: they are told in `Finished`.

    Raises:
        Unavailable: the server went away.
        Usage: it lacks a right or a setting; the hint has the line to put right.
    """
    raise NotImplementedError

"""A backup's manifest: what it holds, where its bytes are, and everything a restore has to know without the server."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.model.backups import BackupSummary
from bot.model.canonical import canonical_json
from bot.model.dumps import partial_of
from bot.model.ids import BackupId, ClusterName, SystemId, backup_kind
from bot.model.wal import Lsn
from bot.repository import layout

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Volume:
    """One stored object of an archive; sizes are bytes.

    `start` and `bytes_read` place it in the archive's input, `bytes_stored` and `sha256` (hex) are the object's own.
    `frames` are the lengths of its pieces' frames, in order, before encryption; every piece holds `piece_bytes` of input
    but the last.
    """

    path: str
    start: int
    bytes_read: int
    bytes_stored: int
    sha256: str
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Archive:
    """One stream of a backup: a tar of the data directory or of a tablespace, or plain bytes (no index).

    `tablespace` is its OID and `location` its path on the source server; both None for the data directory and plain bytes.
    `index` is the path of the object that lists the tar's members, None for plain bytes.
    """

    name: str
    tablespace: int | None
    location: str | None
    bytes_read: int
    volumes: tuple[Volume, ...]
    index: str | None
    index_sha256: str | None
    members: int

    @property
    def bytes_stored(self) -> int:
        """Return the bytes its volumes take in the repository."""
        return sum(volume.bytes_stored for volume in self.volumes)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is. Times are aware UTC, sizes bytes.

    `body` is JSON the writer gave: for base backups `server_facts` and the configuration files. Archives are in the order
    they were written; `backup_manifest` (PostgreSQL's own, plain bytes) is one of them where the server sent it.
    """

    id: BackupId
    cluster: ClusterName
    system_id: SystemId
    started_at: datetime
    finished_at: datetime
    timeline: int
    start_lsn: Lsn
    end_lsn: Lsn
    server_version: int
    segment_bytes: int
    codec: str
    piece_bytes: int
    archives: tuple[Archive, ...]
    body: dict[str, Any]
    parent: BackupId | None = None

    @property
    def kind(self) -> str:
        """Return `base`, `incr` or `dump`."""
        return backup_kind(self.id)

    @property
    def bytes_read(self) -> int:
        """Return the input of all archives."""
        return sum(archive.bytes_read for archive in self.archives)

    @property
    def bytes_stored(self) -> int:
        """Return what all volumes take in the repository."""
        return sum(archive.bytes_stored for archive in self.archives)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 (hex) of the manifest's bytes; plans are bound to it."""
        return hashlib.sha256(self.as_bytes()).hexdigest()

    def archive(self, name: str) -> Archive | None:
        """Return the archive of that name, or None."""
        return next((archive for archive in self.archives if archive.name == name), None)

    def as_bytes(self) -> bytes:
        """Return the canonical JSON that is stored."""
        return canonical_json(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only; volumes as `[bytes_read, bytes_stored, sha256, frames]`, their paths follow from the layout."""
        return {
            "format": FORMAT,
            "id": self.id,
            "cluster": self.cluster,
            "system_id": self.system_id,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "timeline": self.timeline,
            "start_lsn": str(self.start_lsn),
            "end_lsn": str(self.end_lsn),
            "server_version": self.server_version,
            "segment_bytes": self.segment_bytes,
            "codec": self.codec,
            "piece_bytes": self.piece_bytes,
            "archives": [_archive_json(archive) for archive in self.archives],
            "body": self.body,
            "parent": self.parent,
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read what `as_bytes` wrote.

        Raises:
            ValueError: it is not a manifest of a format known here.
        """
        return cls.from_json(json.loads(data))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Manifest:
        """Read what `as_json` wrote.

        Raises:
            ValueError: it is not a manifest of a format known here.
        """
        if data.get("format") != FORMAT:
            raise ValueError(f"manifest format {data.get('format')!r} is not known here")
        cluster, system, backup = ClusterName(data["cluster"]), SystemId(data["system_id"]), BackupId(data["id"])
        volumes = layout.volumes_of(cluster, system, backup)
        return cls(
            id=backup,
            cluster=cluster,
            system_id=system,
            started_at=datetime.fromisoformat(data["started_at"]),
            finished_at=datetime.fromisoformat(data["finished_at"]),
            timeline=data["timeline"],
            start_lsn=Lsn.parse(data["start_lsn"]),
            end_lsn=Lsn.parse(data["end_lsn"]),
            server_version=data["server_version"],
            segment_bytes=data["segment_bytes"],
            codec=data["codec"],
            piece_bytes=data["piece_bytes"],
            archives=tuple(_archive_from(volumes, archive) for archive in data["archives"]),
            body=data["body"],
            parent=BackupId(data["parent"]) if data["parent"] else None,
        )

    def summary(self) -> BackupSummary:
        """Return what lists show of it, before any event."""
        return BackupSummary(
            id=self.id,
            kind=self.kind,
            cluster=self.cluster,
            system_id=self.system_id,
            started_at=self.started_at,
            finished_at=self.finished_at,
            timeline=self.timeline,
            start_lsn=self.start_lsn,
            end_lsn=self.end_lsn,
            bytes_read=self.bytes_read,
            bytes_stored=self.bytes_stored,
            server_version=self.server_version,
            segment_bytes=self.segment_bytes,
            manifest_sha256=self.sha256,
            parent=self.parent,
            partial=partial_of(self.body),
        )


def _archive_json(archive: Archive) -> dict[str, Any]:
    return {
        "name": archive.name,
        "tablespace": archive.tablespace,
        "location": archive.location,
        "bytes_read": archive.bytes_read,
        "volumes": [[v.bytes_read, v.bytes_stored, v.sha256, list(v.frames)] for v in archive.volumes],
        "index_sha256": archive.index_sha256,
        "members": archive.members,
    }


def _archive_from(folder: str, data: dict[str, Any]) -> Archive:
    name: str = data["name"]
    volumes, start = [], 0
    for number, (bytes_read, bytes_stored, sha256, frames) in enumerate(data["volumes"]):
        path = layout.volume(folder, name, number)
        volumes.append(Volume(path, start, bytes_read, bytes_stored, sha256, tuple(frames)))
        start += bytes_read
    return Archive(
        name=name,
        tablespace=data["tablespace"],
        location=data["location"],
        bytes_read=data["bytes_read"],
        volumes=tuple(volumes),
        index=layout.index(folder, name) if data["index_sha256"] else None,
        index_sha256=data["index_sha256"],
        members=data["members"],
    )

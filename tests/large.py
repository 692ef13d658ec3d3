"""A repository as it is after years: a thousand backups and a hundred thousand segments, made in seconds."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from bot.model.canonical import canonical_json
from bot.model.ids import BackupId
from bot.model.wal import Lsn, segment_name, segment_start
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.manifest import Manifest
from bot.repository.repository import Repository
from bot.repository.stores.files import FilesStore

BEGAN = datetime(2024, 1, 1, 2, 0, tzinfo=UTC)


def backup_at(number: int) -> BackupId:
    """Return the id of backup `number`, one a day."""
    return BackupId(f"{BEGAN + timedelta(days=number):%Y%m%dT%H%M%SZ}-base-{number % 0x10000:04x}")


def add_backups(
    cluster: ClusterRepository, count: int, *, every: int = 1, server_version: int = 180000
) -> list[BackupId]:
    """Add base backups as they are listed: manifest and summary, without volumes, one for each `every` segments of WAL."""
    found = []
    for number in range(count):
        start = Lsn(segment_start(1 + number * every, cluster.segment_bytes) + 0x28)
        manifest = Manifest(
            id=backup_at(number),
            cluster=cluster.name,
            system_id=cluster.system_id,
            started_at=BEGAN + timedelta(days=number),
            finished_at=BEGAN + timedelta(days=number, minutes=3),
            timeline=1,
            start_lsn=start,
            end_lsn=Lsn(start + 0x100),
            server_version=server_version,
            segment_bytes=cluster.segment_bytes,
            codec="zstd",
            piece_bytes=1 << 22,
            archives=(),
            body={"server_facts": {"version": "18"}, "configuration": {}},
        )
        folder = layout.backup(cluster.name, cluster.system_id, manifest.id)
        _put(cluster.repository, layout.summary(folder), canonical_json(manifest.summary().as_json()))
        _put(cluster.repository, layout.manifest(folder), manifest.as_bytes())
        found.append(manifest.id)
    return found


def _put(repository: Repository, path: str, content: bytes) -> None:
    """Store an object; in a directory without making it durable, which is what takes the time."""
    if not isinstance(repository.store, FilesStore):
        repository.put_body(path, content)
        return
    file = repository.store.root / path
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_bytes(b"".join(repository.sealed(path, repository.codec.frames(content))))
    file.chmod(0o600)


def add_segments(cluster: ClusterRepository, count: int, *, first: int = 1) -> None:
    """Add whole segments by their names alone, without anything in them: for listings."""
    store, folder = cluster.repository.store, layout.timeline(layout.wal(cluster.name, cluster.system_id), 1)
    names = [segment_name(1, number, cluster.segment_bytes) for number in range(first, first + count)]
    if not isinstance(store, FilesStore):
        for name in names:
            store.put(f"{folder}/{name}", [b"x"])
        return
    place = store.root / folder
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names:
        os.close(os.open(place / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

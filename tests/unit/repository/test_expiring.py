"""Removing backups: whatever moment it is cut short at, each backup is whole or invisible, and the rest is known for what it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.errors import Conflict, Unavailable
from bot.model.ids import BackupId
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.examine import examine
from bot.repository.expiring import expire_backup, leftovers, note_orphan, remove_leftover
from bot.repository.repository import Repository
from bot.repository.stores.files import FilesStore
from tests.unit.repository.sample import FIRST, SECOND, open_sample, sample_cluster, write_backup
from tests.unit.repository.test_backups import unfinished

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)


def test_what_others_left_without_a_manifest_is_told_apart(cluster: ClusterRepository) -> None:
    """A backup whose manifest somebody removed is an orphan, not an unfinished one, and stays until it was noted long ago."""
    write_backup(cluster, FIRST)
    write_backup(cluster, SECOND)
    third = BackupId("20200101T020000Z-base-0b0b")
    unfinished(cluster, third)
    store, folder = cluster.repository.store, layout.backup(cluster.name, cluster.system_id, SECOND)
    store.delete(f"{folder}/manifest")
    [orphan] = leftovers(cluster)
    assert (orphan.backup, orphan.expired, orphan.since) == (SECOND, False, None)
    assert orphan.bytes_stored > 100_000
    note_orphan(cluster, SECOND, NOW)
    [noted] = leftovers(cluster)
    assert noted.since == NOW
    assert cluster.delete_unfinished(LATER) == [third]
    assert [one.backup for one in leftovers(cluster)] == [SECOND]
    remove_leftover(cluster, SECOND)
    assert leftovers(cluster) == []
    with pytest.raises(Conflict):
        remove_leftover(cluster, FIRST)


def test_a_backup_the_ledger_knew_is_an_orphan_too(cluster: ClusterRepository) -> None:
    """Manifest, summary and events gone: only who knew that it was a backup can tell it from an unfinished one."""
    write_backup(cluster, SECOND)
    folder = layout.backup(cluster.name, cluster.system_id, SECOND)
    for name in ("manifest", "summary"):
        cluster.repository.store.delete(f"{folder}/{name}")
    assert leftovers(cluster) == []
    assert [one.backup for one in leftovers(cluster, known={SECOND})] == [SECOND]


class LockedStore(FilesStore):
    """A store that keeps its objects for a time, as a bucket with object lock does."""

    def delete(self, path: str) -> None:
        """Refuse."""
        raise Unavailable(f"{path} is locked until 2027.", code="storage-forbidden")


def test_a_store_that_does_not_let_go(tmp_path: Path) -> None:
    """Under object lock nothing is half removed: the backup stays listed and whole, the error says so, and one note is written."""
    cluster = sample_cluster(open_sample(tmp_path))
    write_backup(cluster, SECOND)
    opened = open_sample(tmp_path, create=False)
    locked = sample_cluster(Repository("local", LockedStore(tmp_path / "repository"), opened.keys, opened.codec))
    for day in range(3):
        with pytest.raises(Unavailable):
            expire_backup(locked, SECOND, reason="too old", at=NOW + timedelta(days=day))
    assert [backup.id for backup in cluster.backups()] == [SECOND]
    assert list(examine(cluster)) == []
    assert len(list(cluster.repository.store.list(f"{cluster.name}/{cluster.system_id}/backups/{SECOND}/events"))) == 1

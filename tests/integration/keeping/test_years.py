"""Lists of a repository as it is after years: what they ask the store for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.repository import Repository
from bot.repository.stores import Names, ObjectInfo
from bot.repository.stores.files import FilesStore
from tests.large import BEGAN, add_backups, add_segments, backup_at
from tests.places import in_memory
from tests.unit.repository.sample import NAME, SECOND, SYSTEM, open_sample, sample_cluster, write_backup

BACKUPS, SEGMENTS, PAGE = 1_000, 100_000, 1_000
BELOW_BACKUPS = layout.backups(NAME, SYSTEM)


class CountingStore(FilesStore):
    """A directory that counts what is asked of it, a listing as a cloud bills it: one request for a thousand objects."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.listings: list[tuple[str, int]] = []
        self.reads: list[str] = []
        self.looks = 0

    @property
    def pages(self) -> int:
        """How many listing requests that were."""
        return sum(max(1, -(-count // PAGE)) for _, count in self.listings)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Count."""
        found = list(super().list(prefix))
        self.listings.append((prefix, len(found)))
        self.looks += len(found)
        yield from found

    def names(self, prefix: str) -> Iterator[str]:
        """Count; nothing is looked at."""
        found = list(super().names(prefix))
        self.listings.append((prefix, len(found)))
        yield from found

    def children(self, prefix: str) -> Names:
        """Count."""
        found = super().children(prefix)
        self.listings.append((prefix, len(found)))
        return found

    def exists(self, path: str) -> bool:
        """Count."""
        self.reads.append(path)
        return super().exists(path)

    def get(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Count."""
        self.reads.append(path)
        return super().get(path, offset, length)


@pytest.fixture(scope="module")
def years() -> Iterator[Path]:
    """A folder with a key and a repository of 1,000 backups, one of them with volumes, and 100,000 segments."""
    with tempfile.TemporaryDirectory(prefix="pitstop-", dir=in_memory(1 << 30)) as place:
        folder = Path(place)
        cluster = sample_cluster(open_sample(folder))
        add_backups(cluster, BACKUPS - 1, every=SEGMENTS // BACKUPS)
        write_backup(cluster)
        add_segments(cluster, SEGMENTS)
        yield folder


def newcomer(folder: Path) -> tuple[ClusterRepository, CountingStore]:
    """Open the history as another process would, with its requests counted from here on."""
    opened = open_sample(folder, create=False)
    store = CountingStore(folder / "repository")
    cluster = Repository(opened.name, store, opened.keys, opened.codec).cluster(NAME, SYSTEM)
    store.reads.clear()
    return cluster, store


def test_a_list_takes_one_request_for_a_thousand_objects(years: Path) -> None:
    """1,000 backups and 100,000 segments: no more listing requests than thousands of objects listed, and volumes never."""
    cluster, store = newcomer(years)
    assert len(cluster.backups()) == BACKUPS
    [whole] = cluster.wal.ranges()
    assert (whole.end - whole.start) // cluster.segment_bytes == SEGMENTS
    listed = sum(count for _, count in store.listings)
    assert listed == 2 * BACKUPS + SEGMENTS
    assert store.pages == -(-listed // PAGE)
    assert {prefix for prefix, _ in store.listings} == {BELOW_BACKUPS, layout.wal(NAME, SYSTEM)}
    assert store.looks == 2 * BACKUPS, "of WAL the names are enough"
    assert len(store.reads) == BACKUPS, "each summary once; manifests say no more"


def test_what_was_read_before_is_not_read_again(years: Path) -> None:
    """Another process that knows what this one read reads nothing; then only a new backup and a new event."""
    first, _ = newcomer(years)
    wanted = first.backups()
    second, store = newcomer(years)
    second.catalogue.recall(first.catalogue.seen())
    assert second.backups() == wanted
    assert store.reads == []
    assert store.pages == 2 * BACKUPS // PAGE
    pinned = backup_at(17)
    added = write_backup(sample_cluster(open_sample(years)), type(SECOND)("20301122T020000Z-base-0001"))
    first.record_event(pinned, "pinned", at=BEGAN + timedelta(days=18))
    store.reads.clear()
    again = {summary.id: summary for summary in second.backups()}
    assert (again[pinned].pinned, again[added.id]) == (True, added)
    assert sorted(layout.backup_of(path) or "" for path in store.reads) == [pinned, pinned, added.id]

"""Lists of a repository: what they tell apart by names, and what they remember."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.ledger import catalogue
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.repository import Repository
from bot.repository.stores.files import FilesStore
from bot.repository.wal import ranges_of
from jobs.catalogue import renew_catalogue
from tests.large import add_backups, add_segments, backup_at
from tests.unit.repository.sample import NAME, SECOND, SYSTEM, open_sample, sample_cluster, write_backup
from tests.unit.retention_world import World


@pytest.mark.parametrize(
    "odd",
    [
        "00000001/000000010000000000000100",
        "00000001/00000001000000000000002G",
        "00000001/00000001000000000000002a",
        "00000001/000000010000000000000028.partial/00000000-00001000",
        "00000001/000000010000000000000028/more",
        "00000002/00000002.history",
        "00000002/000000020000000000000021",
        "000000010000000000000020",
    ],
)
def test_what_lies_among_segments_is_told_from_them_by_name(tmp_path: Path, odd: str) -> None:
    """Names that are sorted many at a time give the same ranges as those looked at one by one, whatever lies among them."""
    cluster = sample_cluster(open_sample(tmp_path))
    add_segments(cluster, 20)
    add_segments(cluster, 5, first=30)
    store = cluster.repository.store
    store.put(f"{layout.wal(NAME, SYSTEM)}/{odd}", [b"x"])
    one_by_one = ranges_of(cluster.wal.inventory(), cluster.segment_bytes)
    assert cluster.wal.ranges() == one_by_one
    assert len([piece for piece in one_by_one if piece.timeline == 1]) in {2, 3}


@pytest.fixture
def few(tmp_path: Path) -> tuple[ClusterRepository, ClusterRepository]:
    """A history of three backups that was listed, and the same as another process opens it, knowing what was read."""
    cluster = sample_cluster(open_sample(tmp_path))
    add_backups(cluster, 3)
    cluster.backups()
    other = open_sample(tmp_path, create=False).cluster(NAME, SYSTEM)
    other.catalogue.recall(cluster.catalogue.seen())
    return cluster, other


def file_of(cluster: ClusterRepository, path: str) -> Path:
    """Return an object's file."""
    store = cluster.repository.store
    assert isinstance(store, FilesStore)
    return store.root / path


def test_a_replaced_object_is_not_believed(few: tuple[ClusterRepository, ClusterRepository]) -> None:
    """A manifest or summary of another size or time is read again, and what is wrong with it is said, each time anew."""
    cluster, other = few
    folder = cluster.folder(backup_at(1))
    manifest, summary = (file_of(cluster, path) for path in (layout.manifest(folder), layout.summary(folder)))
    kept = {path: (path.read_bytes(), path.stat()) for path in (manifest, summary)}
    for path in kept:
        path.write_bytes(b"not an object")
    for _ in range(2):
        [_, damaged, _] = other.backups()
        assert layout.manifest(folder) in (damaged.damaged or "")
        assert backup_at(1) not in other.catalogue.seen(), "damage is looked at each time"
    for path, (content, stat) in kept.items():
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert other.backups() == cluster.backups(), "and so it is well again once it was put right"


def test_what_is_gone_is_forgotten(few: tuple[ClusterRepository, ClusterRepository]) -> None:
    """A backup whose manifest is gone is not listed, whatever is remembered of it."""
    _, other = few
    other.repository.store.delete(layout.manifest(other.folder(backup_at(1))))
    assert [summary.id for summary in other.backups()] == [backup_at(0), backup_at(2)]
    assert set(other.catalogue.seen()) == {backup_at(0), backup_at(2)}


def test_a_lost_data_key_is_not_covered_up(tmp_path: Path) -> None:
    """What was read with a data key that is gone now is shown as it can be read now: not at all."""
    old = sample_cluster(open_sample(tmp_path))
    write_backup(old)
    [key] = old.repository.keys.ids()
    old.repository.keys.create()
    new = open_sample(tmp_path, create=False).cluster(NAME, SYSTEM)
    add_backups(new, 1)
    assert [summary.damaged for summary in new.backups()] == [None, None]
    for name in old.repository.store.children(layout.key_folder(key)):
        old.repository.store.delete(f"{layout.key_folder(key)}/{name}")
    later = open_sample(tmp_path, create=False)
    store = later.store
    assert isinstance(store, FilesStore)
    listed = Repository(later.name, store, later.keys, later.codec)
    history = ClusterRepository(listed, NAME, SYSTEM, old.segment_bytes)
    history.catalogue.recall(new.catalogue.seen())
    assert {s.id: key in (s.damaged or "") for s in history.backups()} == {SECOND: True, backup_at(0): False}


def test_the_ledger_remembers_what_was_read(tmp_path: Path) -> None:
    """A second renewal does not open what lies as it lay; once a summary was replaced, the manifest speaks for it."""
    world = World(tmp_path)
    world.days(3)
    wanted = renew_catalogue(world.config, world.ledger, NAME)
    backup = wanted[1].backup.id
    summary = file_of(world.cluster, layout.summary(world.cluster.folder(backup)))
    content, stat = summary.read_bytes(), summary.stat()
    summary.write_bytes(bytes(len(content)))
    os.utime(summary, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert renew_catalogue(world.config, world.ledger, NAME) == wanted
    with world.ledger.read() as tx:
        assert backup in catalogue.seen(tx, NAME, world.opened.name)
    os.utime(summary)
    assert renew_catalogue(world.config, world.ledger, NAME) == wanted, "the manifest says the same"
    with world.ledger.read() as tx:
        assert backup not in catalogue.seen(tx, NAME, world.opened.name), "it was read, and found wanting"

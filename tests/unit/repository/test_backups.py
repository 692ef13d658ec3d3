"""Backups as objects: invisible until they are whole, found from the objects alone, and read without Pitstop."""

from __future__ import annotations

import io
import shutil
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Conflict, Corruption, Refused, Unavailable, Usage
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.wal import Lsn
from bot.repository import layout
from bot.repository.backup_writer import BackupWriter
from bot.repository.cluster import ClusterRepository
from bot.repository.manifest import Archive, Manifest, Volume
from bot.repository.member import read_member
from bot.repository.repository import Repository
from tests.stand_alone import SCRIPT
from tests.unit.repository.sample import (
    AT,
    FIRST,
    NAME,
    SECOND,
    SMALL_CUT,
    SYSTEM,
    commit,
    data_directory,
    open_sample,
    sample_cluster,
    segment,
    write_archives,
    write_backup,
)

LATER = datetime.now(UTC) + timedelta(days=1)
text = st.text(st.characters(exclude_categories=()), max_size=20)


def objects(cluster: ClusterRepository) -> list[str]:
    """Return the paths of all objects of backups."""
    store = cluster.repository.store
    return [
        info.path
        for folder in (layout.backups(NAME, SYSTEM), layout.volumes(NAME, SYSTEM))
        for info in store.list(folder)
    ]


def test_a_backup_does_not_exist_before_it_is_committed(cluster: ClusterRepository) -> None:
    """While it is written nothing lists it; from the commit on it is listed as it was answered."""
    with cluster.begin(SECOND, workers=2, cut=SMALL_CUT) as writer:
        write_archives(writer, data_directory())
        assert cluster.backups() == []
        with pytest.raises(Usage) as caught:
            cluster.manifest(SECOND)
        assert caught.value.reason_code == "unknown-backup"
        answered = commit(writer)
    assert cluster.backups() == [answered]
    assert cluster.manifest(SECOND).summary() == answered
    assert answered.bytes_stored < answered.bytes_read


def test_an_abandoned_backup_leaves_nothing(cluster: ClusterRepository) -> None:
    """When its writer raises, all of its objects go, the same id may be used again, and other backups stay."""
    write_backup(cluster, FIRST)
    before = objects(cluster)
    with pytest.raises(ZeroDivisionError), cluster.begin(SECOND, workers=2, cut=SMALL_CUT) as writer:
        write_archives(writer, data_directory())
        raise ZeroDivisionError
    assert objects(cluster) == before
    assert write_backup(cluster).id == SECOND


def test_a_backup_that_lost_a_volume_is_not_committed(cluster: ClusterRepository, tmp_path: Path) -> None:
    """An object that vanished or shrank before the commit stops it: no manifest is written over a hole."""
    for harm in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])):
        with pytest.raises(Corruption), cluster.begin(SECOND, workers=2, cut=SMALL_CUT) as writer:
            write_archives(writer, data_directory())
            harm(tmp_path / "repository" / NAME / SYSTEM / "volumes" / SECOND / "base" / "000001")
            commit(writer)
        assert cluster.backups() == []


def test_an_id_is_used_once(cluster: ClusterRepository) -> None:
    """A backup's id that is taken, finished or not, is refused, and the backup there is untouched."""
    write_backup(cluster)
    before = cluster.backups()
    with pytest.raises(Conflict) as caught:
        cluster.begin(SECOND)
    assert caught.value.reason_code == "backup-exists"
    with pytest.raises(Conflict):
        cluster.delete_backup_objects(SECOND)
    assert cluster.backups() == before


def unfinished(cluster: ClusterRepository, backup: BackupId) -> BackupWriter:
    """Write a backup as a killed process leaves it."""
    writer = cluster.begin(backup, workers=1, cut=SMALL_CUT)
    write_archives(writer, data_directory())
    writer.pipeline.close()
    return writer


def test_leftovers_are_deleted_by_age_and_never_a_live_one(cluster: ClusterRepository) -> None:
    """Only what has no manifest, is old by its id and by its newest object, and is not said to be live, is deleted."""
    old, young, live = (BackupId(f"{day}T020000Z-base-0b0b") for day in ("20200101", "20991231", "20200102"))
    write_backup(cluster, FIRST)
    for backup in (old, young, live):
        unfinished(cluster, backup)
    assert cluster.delete_unfinished(datetime.now(UTC) - timedelta(hours=6)) == [], "written to a moment ago"
    assert cluster.delete_unfinished(LATER, live={live}) == [old]
    assert {path.split("/")[3] for path in objects(cluster)} == {FIRST, young, live}
    assert [backup.id for backup in cluster.backups()] == [FIRST]


def test_the_catalogue_needs_the_objects_alone(tmp_path: Path) -> None:
    """A copy of folder and key, opened anew elsewhere, lists the same backups and WAL."""
    here = tmp_path / "here"
    here.mkdir()
    cluster = sample_cluster(open_sample(here))
    write_backup(cluster, FIRST)
    write_backup(cluster)
    cluster.record_event(FIRST, "pinned", at=AT, text="audit")
    cluster.wal.put_segment(1, 2, segment(2))
    shutil.copytree(here, tmp_path / "there")
    copied = open_sample(tmp_path / "there", create=False)
    assert copied.systems(NAME) == [SYSTEM]
    there = copied.cluster(NAME, SYSTEM)
    assert there.backups() == cluster.backups()
    assert there.wal.ranges() == cluster.wal.ranges()
    assert there.segment_bytes == cluster.segment_bytes
    assert [backup.pinned for backup in there.backups()] == [True, False]


def test_a_foreign_cluster_is_refused(repository: Repository, cluster: ClusterRepository, tmp_path: Path) -> None:
    """A history whose cluster.json speaks of another cluster, system or segment size is not written into."""
    with pytest.raises(Refused) as caught:
        repository.cluster(NAME, SYSTEM, create=True, segment_bytes=cluster.segment_bytes * 2)
    assert caught.value.reason_code == "foreign-cluster"
    with pytest.raises(Usage) as unknown:
        repository.cluster(NAME, SystemId("42"))
    assert unknown.value.reason_code == "unknown-cluster"
    assert SYSTEM in unknown.value.message
    for name, system in (("keys", SYSTEM), (NAME, "not-a-number"), (NAME, "../1")):
        with pytest.raises(Usage):
            repository.cluster(ClusterName(name), SystemId(system), create=True)
    # A folder copied under another system identifier, as somebody tidying up might.
    root = tmp_path / "repository" / NAME
    shutil.copytree(root / SYSTEM, root / "42")
    with pytest.raises(Corruption):
        repository.cluster(NAME, SystemId("42"))


def test_single_files_are_read_alone(cluster: ClusterRepository) -> None:
    """One file of an archive comes back from the few pieces that hold it; unknown ones are told."""
    write_backup(cluster)
    manifest = cluster.manifest(SECOND)
    for name, content in data_directory().items():
        if content is not None:
            assert b"".join(read_member(cluster, manifest, "base", name)) == content
    for archive, name, code in (("base", "nowhere", "unknown-member"), ("7", "x", "unknown-archive")):
        with pytest.raises(Usage) as caught:
            list(read_member(cluster, manifest, archive, name))
        assert caught.value.reason_code == code


volumes = st.lists(
    st.tuples(st.integers(1, 1 << 40), st.integers(1, 1 << 40), st.lists(st.integers(10, 1 << 24), max_size=4)),
    max_size=4,
)


@given(
    name=text, location=st.none() | text, found=volumes, lsn=st.integers(0, (1 << 64) - 1), timeline=st.integers(1, 1 << 32),
    body=st.dictionaries(text, text | st.integers() | st.none() | st.lists(text, max_size=3), max_size=4),
    at=st.datetimes(timezones=st.just(UTC)), parent=st.none() | st.just(FIRST),
)  # fmt: skip
def test_manifests_come_back(
    name: str, location: str | None, found: list[tuple[int, int, list[int]]], lsn: int, timeline: int, body: dict[str, object],
    at: datetime, parent: BackupId | None,
) -> None:  # fmt: skip
    """Whatever names, paths and configuration hold, lone surrogates included, the manifest comes back byte for byte."""
    start, made = 0, []
    for number, (bytes_read, bytes_stored, frames) in enumerate(found):
        path = layout.volume(layout.volumes_of(NAME, SYSTEM, SECOND), "base", number)
        made.append(Volume(path, start, bytes_read, bytes_stored, "ab" * 32, tuple(frames)))
        start += bytes_read
    index = layout.index(layout.volumes_of(NAME, SYSTEM, SECOND), "base")
    archive = Archive("base", 16394, location, start, tuple(made), index, "cd" * 32, 7)
    manifest = Manifest(
        id=SECOND, cluster=NAME, system_id=SYSTEM, started_at=at, finished_at=at, timeline=timeline, start_lsn=Lsn(lsn),
        end_lsn=Lsn(lsn), server_version=180006, segment_bytes=1 << 24, codec="zstd", piece_bytes=1 << 22, archives=(archive,),
        body={**body, "name": name}, parent=parent,
    )  # fmt: skip
    stored = manifest.as_bytes()
    again = Manifest.from_bytes(stored)
    assert again == manifest
    assert again.as_bytes() == stored
    stored.decode("utf-8")


def test_the_script_is_small_and_stands_alone() -> None:
    """Its imports are the standard library, cryptography and zstandard, and it fits on a few pages."""
    lines = SCRIPT.read_text().splitlines()
    imports = [words for words in map(str.split, lines) if words[:1] in (["import"], ["from"])]
    imported = {words[1].split(".")[0] for words in imports}
    assert imported - set(sys.stdlib_module_names) == {"cryptography", "zstandard"}
    assert len(lines) <= 270


def test_a_malformed_tar_ends_the_backup(cluster: ClusterRepository) -> None:
    """A stream that is no tar stops the backup as corruption, saying where; nothing of it stays."""
    with pytest.raises(Corruption) as caught, cluster.begin(SECOND, workers=1, cut=SMALL_CUT) as writer:
        archive = writer.archive("base")
        archive.write(io.BytesIO(b"\x01" * 100_000).getvalue())
        archive.close()
    assert caught.value.reason_code == "tar-malformed"
    assert objects(cluster) == []


def test_a_store_that_goes_away_ends_the_backup(cluster: ClusterRepository, tmp_path: Path) -> None:
    """When volumes cannot be stored any more, the thread that feeds the archives gets that error, and all threads end."""
    before = threading.active_count()
    with pytest.raises(Unavailable) as caught, cluster.begin(SECOND, workers=2, cut=SMALL_CUT) as writer:
        archive = writer.archive("base", tar=False)
        archive.write(b"x" * 100_000)
        (tmp_path / "repository").rename(tmp_path / "away")
        for _ in range(100):
            archive.write(b"x" * 100_000)
        archive.close()
    # a write under way when the folder went fails by itself; every later one sees that the repository is gone
    assert caught.value.reason_code in {"repository-gone", "storage-failed"}
    assert "could not be deleted" in " ".join(caught.value.__notes__)
    assert threading.active_count() == before
    (tmp_path / "away").rename(tmp_path / "repository")
    assert cluster.backups() == []

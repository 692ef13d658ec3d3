"""Damage: any flipped bit, cut or exchange in any kind of object is found, and the object is named."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import Corruption, Usage
from bot.repository import envelope
from bot.repository.cluster import ClusterRepository
from bot.repository.examine import Damage, examine
from tests.unit.repository.sample import (
    AT,
    FIRST,
    NAME,
    SECOND,
    SYSTEM,
    open_sample,
    sample_cluster,
    segment,
    write_backup,
)

KINDS = {
    "identity": "cluster.json",
    "manifest": f"backups/{SECOND}/manifest",
    "summary": f"backups/{SECOND}/summary",
    "volume": f"volumes/{SECOND}/base/000001",
    "tablespace": f"volumes/{SECOND}/16394/000000",
    "server's manifest": f"volumes/{SECOND}/backup_manifest/000000",
    "index": f"volumes/{SECOND}/base/index",
    "event": f"backups/{SECOND}/events/20261122T020000.000000Z-verified",
    "segment": "wal/00000001/000000010000000000000002",
    "piece": "wal/00000001/000000010000000000000003.partial/00000000-00002710",
    "history": "wal/00000002/00000002.history",
}
REGIONS = {"header": (0, 64), "chunk": (64, -16), "tag": (-16, 0)}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a repository that holds one object of each kind."""
    folder = tmp_path_factory.mktemp("kept")
    cluster = sample_cluster(open_sample(folder))
    write_backup(cluster, FIRST)
    write_backup(cluster)
    cluster.record_event(SECOND, "verified", at=AT)
    cluster.wal.put_segment(1, 2, segment(2))
    cluster.wal.put_piece(1, 3, 0, segment(3)[:10_000])
    cluster.wal.put_history(2, b"1\t0/300000\tno recovery target specified\n")
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(kept, tmp_path / "copy")
    return tmp_path / "copy"


def file_of(folder: Path, kind: str) -> Path:
    """Return the file of an object."""
    return folder / "repository" / NAME / SYSTEM / KINDS[kind]


def found_in(folder: Path) -> list[Damage]:
    """Examine everything, as a newcomer with the key would."""
    repository = open_sample(folder, create=False)
    try:
        return list(examine(repository.cluster(NAME, SYSTEM)))
    except Corruption as error:
        # A cluster.json that cannot be trusted already refuses to open.
        return [Damage(getattr(error, "path", ""), getattr(error, "chunk", None), None, error.message)]


def path_of(kind: str) -> str:
    """Return the path of an object."""
    return f"{NAME}/{SYSTEM}/{KINDS[kind]}"


def test_the_sample_is_sound_and_whole(folder: Path) -> None:
    """Without damage nothing is found, and every kind of object that a repository has is in the sample."""
    assert found_in(folder) == []
    assert all(file_of(folder, kind).is_file() for kind in KINDS)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_in_every_kind_and_region(folder: Path, kind: str, region: str) -> None:
    """A flipped bit in each region of each kind of object is found, only it is named, and so is the chunk.

    Every other way to spoil an object, thousands of times: tests/contract/test_corruption.py.
    """
    file, rng = file_of(folder, kind), random.Random(f"{kind} {region}")
    sound = file.read_bytes()
    start, end = (at % len(sound) if at < 0 else at for at in REGIONS[region])
    for _ in range(2):
        at = rng.randrange(start, end or len(sound))
        file.write_bytes(flipped(sound, at * 8 + rng.randrange(8)))
        found = found_in(folder)
        assert [damage.path for damage in found] == [path_of(kind)], f"byte {at}"
        assert path_of(kind) in found[0].message
        if region != "header":
            assert found[0].chunk == (at - envelope.HEADER_BYTES) // envelope.SEALED_CHUNK_BYTES
    file.write_bytes(sound)
    assert found_in(folder) == []


@pytest.mark.full
def test_every_single_bit_of_small_objects(folder: Path) -> None:
    """Every bit of the smallest objects, without exception."""
    for kind in ("identity", "event", "history"):
        file = file_of(folder, kind)
        sound = file.read_bytes()
        for bit in range(len(sound) * 8):
            file.write_bytes(flipped(sound, bit))
            assert [damage.path for damage in found_in(folder)] == [path_of(kind)], f"bit {bit} of {kind}"
        file.write_bytes(sound)


def flipped(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit flipped."""
    at, shift = divmod(bit, 8)
    return data[:at] + bytes([data[at] ^ 1 << shift]) + data[at + 1 :]


def test_a_flipped_bit_in_a_wrapped_key(folder: Path) -> None:
    """Any flipped bit in a stored data key is told as damage of that object, never as a wrong key."""
    [file] = (folder / "repository/keys").glob("*/1")
    sound, rng = file.read_bytes(), random.Random(1)
    for _ in range(40):
        file.write_bytes(flipped(sound, rng.randrange(len(sound) * 8)))
        with pytest.raises(Corruption) as caught:
            open_sample(folder, create=False)
        assert f"keys/{file.parent.name}/1" in caught.value.message
    file.write_bytes(sound)
    assert found_in(folder) == []


def test_an_object_of_another_repository_is_found(folder: Path, tmp_path: Path) -> None:
    """A sound object of the same path from another repository is of a data key that is not here: it is named."""
    (tmp_path / "other").mkdir()
    write_backup(sample_cluster(open_sample(tmp_path / "other")))
    shutil.copy(file_of(tmp_path / "other", "volume"), file_of(folder, "volume"))
    [found] = found_in(folder)
    assert found.path == path_of("volume")
    assert "data key" in found.message


def test_missing_and_foreign_objects_are_found(folder: Path) -> None:
    """A volume or index that is gone is named; so is an object that does not belong to the backup, or below `wal/`."""
    file_of(folder, "volume").unlink()
    shutil.copy(file_of(folder, "segment"), file_of(folder, "volume").with_name("000099"))
    file_of(folder, "index").unlink()
    shutil.copy(file_of(folder, "segment"), file_of(folder, "segment").with_name("notes.txt"))
    folder_of = f"{NAME}/{SYSTEM}"
    assert {damage.path for damage in found_in(folder)} == {
        path_of("volume"),
        path_of("index"),
        f"{folder_of}/volumes/{SECOND}/base/000099",
        f"{folder_of}/wal/00000001/notes.txt",
    }


def test_a_key_that_was_deleted(folder: Path) -> None:
    """Without its data key a repository does not open, and says which folder to bring back."""
    shutil.rmtree(next((folder / "repository/keys").iterdir()))
    with pytest.raises(Usage) as caught:
        open_sample(folder, create=False)
    assert caught.value.reason_code == "no-data-key"
    with pytest.raises(Usage) as caught:
        open_sample(folder)
    assert caught.value.reason_code == "not-a-repository", "a new key is never made beside old backups"


def test_a_backup_that_cannot_be_read_is_still_listed(folder: Path) -> None:
    """With manifest and summary damaged the backup is listed, as damaged, and the others are as they were."""
    for kind in ("manifest", "summary"):
        file = file_of(folder, kind)
        file.write_bytes(flipped(file.read_bytes(), 900))
    cluster = open_sample(folder, create=False).cluster(NAME, SYSTEM)
    first, second = cluster.backups()
    assert (first.id, first.damaged) == (FIRST, None)
    assert second.id == SECOND
    assert second.damaged is not None
    assert path_of("manifest") in second.damaged


def test_a_damaged_summary_is_made_good_by_the_manifest(folder: Path, kept: Path) -> None:
    """With the summary gone or damaged, lists say the same, from the manifest alone."""
    wanted = cluster_in(kept).backups()
    file = file_of(folder, "summary")
    file.write_bytes(flipped(file.read_bytes(), 900))
    assert cluster_in(folder).backups() == wanted
    file.unlink()
    assert cluster_in(folder).backups() == wanted


def test_a_damaged_event_counts_against_the_backup(folder: Path) -> None:
    """An event that cannot be read may have said `damaged`: the backup is shown as damaged, naming it."""
    file = file_of(folder, "event")
    file.write_bytes(flipped(file.read_bytes(), 900))
    [_, second] = cluster_in(folder).backups()
    assert second.damaged is not None
    assert path_of("event") in second.damaged


def test_damage_is_recorded_by_an_event(folder: Path) -> None:
    """Once an event says `damaged`, a backup stays so, whatever is said later."""
    cluster = cluster_in(folder)
    cluster.record_event(SECOND, "damaged", at=AT + timedelta(hours=1), text="block 7 of base/5/1259")
    cluster.record_event(SECOND, "damaged", at=AT + timedelta(hours=1), text="block 7 of base/5/1259")
    cluster.record_event(SECOND, "verified", at=AT + timedelta(hours=2))
    [_, second] = cluster.backups()
    assert (second.damaged, second.verified_at) == ("block 7 of base/5/1259", AT + timedelta(hours=2))


def cluster_in(folder: Path) -> ClusterRepository:
    """Open the sample cluster in a folder."""
    return open_sample(folder, create=False).cluster(NAME, SYSTEM)

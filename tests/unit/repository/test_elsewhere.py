"""What is damaged in one repository is read from a copy: the same bytes come out, and never a mixture of two writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bot.repository.cluster import ClusterRepository
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.keys.file import KeyFile, create_key_file
from bot.repository.keys.form import encode
from bot.repository.keys.lost import KeyUnopened
from bot.repository.keys.ring import KeyRing
from bot.repository.manifest import Manifest
from bot.repository.member import read_member
from bot.repository.repository import Repository
from bot.repository.stores.files import FilesStore
from bot.repository.unpack import unpack
from tests.unit.repository.sample import NAME, SECOND, SYSTEM, data_directory, open_sample, sample_cluster, write_backup

Pair = tuple[ClusterRepository, list[str], Path]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A repository with a copy beside it, what was told of damage, and the first one's folder."""
    cluster = sample_cluster(open_sample(tmp_path))
    write_backup(cluster)
    shutil.copytree(tmp_path / "repository", tmp_path / "copy")
    return beside(cluster, tmp_path / "copy"), TOLD, tmp_path / "repository"


TOLD: list[str] = []


def beside(cluster: ClusterRepository, folder: Path) -> ClusterRepository:
    """Put the repository in a folder beside another one."""
    TOLD.clear()
    repository = cluster.repository
    store = FilesStore(folder)
    copy = Repository("copy", store, KeyRing(store, repository.keys.wrappers), repository.codec)
    other = ClusterRepository(copy, NAME, SYSTEM, cluster.segment_bytes)
    return cluster.beside([other], _tell)


def _tell(damage: ObjectDamaged | ObjectMissing | KeyUnopened, name: str) -> None:
    TOLD.append(f"{damage.key_id if isinstance(damage, KeyUnopened) else damage.path} {name}")


def restored(cluster: ClusterRepository, manifest: Manifest, folder: Path) -> dict[str, bytes]:
    """Unpack a backup and return its files."""
    shutil.rmtree(folder, ignore_errors=True)
    unpack(cluster, manifest, folder / "data", tablespace_dir=lambda oid: folder / str(oid), workers=2)
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("place", [10, 100, 0.3, 0.6, 0.95, "cut", "gone"])
def test_a_volume_is_read_on_elsewhere(pair: Pair, tmp_path: Path, place: float | str) -> None:
    """Wherever a bit is flipped, the object is cut or gone, all files come back right, and it is told where from."""
    cluster, told, root = pair
    manifest = cluster.manifest(SECOND)
    before = restored(cluster, manifest, tmp_path / "out")
    assert told == []
    volume = max((v for v in manifest.archives[0].volumes), key=lambda v: len(v.frames))
    path = root / volume.path
    data = bytearray(path.read_bytes())
    if place == "gone":
        path.unlink()
    elif place == "cut":
        path.write_bytes(data[:-100])
    else:
        assert isinstance(place, float | int)
        data[int(place * len(data)) if place < 1 else int(place)] ^= 1
        path.write_bytes(data)
    assert restored(cluster, manifest, tmp_path / "out") == before
    assert told == [f"{volume.path} copy"]
    name = next(n for n, c in data_directory().items() if c)
    assert b"".join(read_member(cluster, manifest, "base", name)) == data_directory()[name]


@pytest.mark.parametrize("what", ["index", "manifest"])
def test_index_and_manifest(pair: Pair, tmp_path: Path, what: str) -> None:
    """A damaged index or manifest is read from the copy as well."""
    cluster, told, root = pair
    before = restored(cluster, cluster.manifest(SECOND), tmp_path / "out")
    [path] = root.glob(
        f"{NAME}/*/backups/{SECOND}/manifest" if what == "manifest" else f"{NAME}/*/volumes/*/base/index"
    )
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert restored(cluster, cluster.manifest(SECOND), tmp_path / "out") == before
    assert set(told) == {f"{path.relative_to(root)} copy"}


@pytest.mark.parametrize("harm", ["gone", "another key's"])
def test_a_data_key_that_opens_in_the_copy_alone(pair: Pair, tmp_path: Path, harm: str) -> None:
    """Where the wrapped data key is gone here, or no key made the form that is left, everything is read from the copy."""
    cluster, told, root = pair
    before = restored(cluster, cluster.manifest(SECOND), tmp_path / "out")
    [key] = cluster.repository.keys.ids()
    form = root / "keys" / key / "1"
    if harm == "gone":
        shutil.rmtree(form.parent)
    else:
        create_key_file(tmp_path / "another")
        form.write_bytes(encode(KeyFile(tmp_path / "another").wrap(key, bytes(32))))
    store = FilesStore(root)
    fresh = Repository("local", store, KeyRing(store, cluster.repository.keys.wrappers), cluster.repository.codec)
    here = beside(ClusterRepository(fresh, NAME, SYSTEM, cluster.segment_bytes), tmp_path / "copy")
    assert restored(here, here.manifest(SECOND), tmp_path / "out") == before
    assert set(told) == {f"{key} copy"}


def test_another_write_is_no_copy(pair: Pair, tmp_path: Path) -> None:
    """An object of another write beside it is never mixed in: the damage is told as it is, and nothing else."""
    cluster, told, root = pair
    manifest = cluster.manifest(SECOND)
    shutil.rmtree(root)
    shutil.rmtree(tmp_path / "copy")
    other = sample_cluster(open_sample(tmp_path))
    write_backup(other)
    (tmp_path / "repository").rename(tmp_path / "copy")
    shutil.copytree(tmp_path / "copy", root)
    write = beside(sample_cluster(open_sample(tmp_path)), tmp_path / "copy")
    with pytest.raises((ObjectDamaged, ObjectMissing)):
        restored(write, manifest, tmp_path / "out")
    assert told == []


def test_both_damaged(pair: Pair, tmp_path: Path) -> None:
    """Where the copy is damaged too, the damage of the first is what is raised."""
    cluster, told, root = pair
    manifest = cluster.manifest(SECOND)
    volume = manifest.archives[0].volumes[0]
    for folder, at in ((root, -30), (tmp_path / "copy", 90)):
        data = bytearray((folder / volume.path).read_bytes())
        data[at] ^= 1
        (folder / volume.path).write_bytes(data)
    with pytest.raises(ObjectDamaged) as caught:
        restored(cluster, manifest, tmp_path / "out")
    assert caught.value.path == volume.path
    assert told == []

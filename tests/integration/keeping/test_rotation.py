"""Rotation: a new data key under every key, old ones re-wrapped, the proof; whatever interrupts it is finished by the next."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from bot.config import EncryptionConfig, RepositoryConfig
from bot.errors import Failed, Unavailable, Usage
from bot.repository.keys.file import KeyFile, create_key_file
from bot.repository.keys.lost import KeyLost
from bot.repository.keys.passphrase import create_passphrase_file
from bot.repository.keys.ring import KeyRing
from bot.repository.keys.survey import survey
from bot.repository.keys.uses import uses_of
from bot.repository.open import open_repository
from bot.repository.proof import prove
from bot.repository.repository import Repository
from bot.repository.rotation import Rotation, interrupted, rotate
from bot.repository.stores import Block
from bot.repository.stores.files import FilesStore
from tests.unit.repository.sample import FIRST, NAME, SECOND, open_sample, sample_cluster, segment, write_backup

T = TypeVar("T")
NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


class DyingStore(FilesStore):
    """A store that fails for good at the `dies_at`th put or delete, counted from 1: before it is done, or just after."""

    def __init__(self, root: Path, dies_at: int, *, done: bool) -> None:
        super().__init__(root)
        self.writes, self._dies_at, self._done = 0, dies_at, done

    def put(self, path: str, chunks: Iterable[Block]) -> int:
        """Put, or die."""
        return self._mortal(lambda: FilesStore.put(self, path, chunks))

    def delete(self, path: str) -> None:
        """Delete, or die."""
        self._mortal(lambda: FilesStore.delete(self, path))

    def _mortal(self, do: Callable[[], T]) -> T:
        self.writes += 1
        if self.writes >= self._dies_at:
            if self._done and self.writes == self._dies_at:
                do()
            raise Unavailable("The storage died.", hint="?")
        return do()


def encryption(home: Path, *names: str) -> EncryptionConfig:
    """Return the configuration with keys in files: `key…` are key files, `passphrase` one; made where they are missing."""
    sources = []
    for name in names:
        if not (home / name).exists():
            (create_passphrase_file if name == "passphrase" else create_key_file)(home / name)
        sources.append(f"{'passphrase' if name == 'passphrase' else 'file'}:{home / name}")
    return EncryptionConfig(keys=tuple(sources))


def opened(home: Path, *names: str) -> Repository:
    """Open the sample repository as a new process with these keys does."""
    config = RepositoryConfig.model_validate({"url": f"file://{home}/repository", "level": 1})
    return open_repository("local", config, encryption(home, *names))


def rotated(
    home: Path, *names: str, rewrap_only: bool = False, drop: bool = False, go_on: str | None = None
) -> Rotation:
    """Rotate the sample repository."""
    return rotate(
        opened(home, *names), rewrap_only=rewrap_only, drop_unused=drop, go_on_with=go_on, begin=lambda _: None
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A repository with two backups and WAL of one generation."""
    cluster = sample_cluster(open_sample(tmp_path))
    write_backup(cluster, FIRST)
    write_backup(cluster, SECOND, seed=2)
    for number in range(2, 5):
        cluster.wal.put_segment(1, number, segment(number))
    return tmp_path


def contents(home: Path) -> dict[str, bytes]:
    """Return everything stored but the keys."""
    root = home / "repository"
    files = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] != "keys"]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_a_rotation(home: Path) -> None:
    """A new data key is the newest under both keys, the old one gets its missing form, nothing stored changes, all is proved."""
    before = contents(home)
    done = rotated(home, "key", "passphrase")
    assert (done.made, len(done.added), done.unused, done.lost) == (True, 1, {}, [])
    assert done.proof.problems == []
    assert (done.proof.data_keys, done.proof.openings, done.proof.backups) == (2, 4, 2)
    assert done.proof.wal == 3
    assert done.proof.objects == len(before) - 1, "every header but cluster.json's, which was read whole"
    assert done.proof.opened > 6
    assert contents(home) == before
    new = opened(home, "passphrase")
    assert new.keys.current()[0] == done.data_key
    assert sample_cluster(new).manifest(FIRST).id == FIRST
    assert opened(home, "key").keys.ids() == new.keys.ids()


def test_a_rotation_without_a_new_key(home: Path) -> None:
    """Only to wrap anew: no new data key, the missing forms are added, and the proof is the same; again it adds nothing."""
    before = opened(home, "key").keys.ids()
    done = rotated(home, "key", "second", rewrap_only=True)
    assert (done.made, len(done.added), done.proof.holds) == (False, 1, True)
    again = rotated(home, "key", "second", rewrap_only=True)
    assert (again.made, again.added, again.proof.holds) == (False, [], True)
    assert opened(home, "key").keys.ids() == before


def test_processes_keep_the_key_they_began_with(home: Path) -> None:
    """A backup that is being written goes on with its data key through two rotations, reads what newer ones seal, and restores."""
    running = open_sample(home)
    first = running.keys.current()[0]
    third = [rotated(home, "key", "second").data_key for _ in range(2)][-1]
    late = sample_cluster(opened(home, "second"))
    late.wal.put_segment(1, 9, segment(9))
    cluster = sample_cluster(running)
    assert cluster.wal.read_segment(1, 9) == segment(9)
    write_backup(cluster, backup := type(FIRST)("20261123T020000Z-base-0c0c"))
    uses = uses_of(running.store)
    assert (NAME, backup) in uses[first].backups
    assert [use.segments for use in uses[third].wal] == [1]
    assert prove(opened(home, "key", "second")).problems == []


@pytest.mark.parametrize("done", [False, True])
def test_what_a_death_at_each_write_leaves(home: Path, tmp_path_factory: pytest.TempPathFactory, done: bool) -> None:
    """Killed before or just after each write, it leaves a repository that opens with the old key, is written with, and that the
    same command finishes: both keys then open everything, and no data key was made in vain."""
    deaths = 0
    for dies_at in range(1, 50):
        copy = tmp_path_factory.mktemp("copy") / "home"
        shutil.copytree(home, copy)
        sound = opened(copy, "key")
        encryption(copy, "key", "second")
        wrappers = opened(copy, "key", "second").keys.wrappers
        store = DyingStore(copy / "repository", dies_at, done=done)
        dying = Repository("local", store, KeyRing(store, wrappers), sound.codec)
        begun: list[str] = []
        try:
            rotate(dying, rewrap_only=False, drop_unused=True, go_on_with=None, begin=begun.append)
            break
        except Unavailable:
            deaths += 1
        after = opened(copy, "key")
        assert prove(after).problems == [], "with the key that was there before"
        sample_cluster(after).wal.put_segment(1, 20, segment(20))
        noted = (begun[0], NOW) if begun else None
        go_on = interrupted(after.keys.ids(), noted, NOW + timedelta(minutes=1))
        finished = rotated(copy, "key", "second", go_on=go_on)
        assert finished.proof.problems == []
        assert len(opened(copy, "key").keys.ids()) == 2
        for names in (("key",), ("second",)):
            assert prove(opened(copy, *names)).problems == []
    assert deaths == 3, "an added form, and two forms of the new key"


def test_a_death_while_unused_forms_are_dropped(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Killed between two deletions, everything opens with the new keys, and the next run drops the rest."""
    rotated(home, "key")
    (home / "key").rename(home / "older")
    deaths = 0
    for dies_at in range(1, 50):
        copy = tmp_path_factory.mktemp("copy") / "home"
        shutil.copytree(home, copy)
        rotated(copy, "older", "newer", rewrap_only=True)
        wrappers = opened(copy, "newer").keys.wrappers
        store = DyingStore(copy / "repository", dies_at, done=True)
        dying = Repository("local", store, KeyRing(store, wrappers), opened(copy, "newer").codec)
        try:
            rotate(dying, rewrap_only=True, drop_unused=True, go_on_with=None, begin=lambda _: None)
            break
        except Unavailable:
            deaths += 1
        assert prove(opened(copy, "newer")).problems == []
        rotated(copy, "newer", rewrap_only=True, drop=True)
        assert [len(key.forms) for key in survey(opened(copy, "newer").keys)] == [1, 1]
    assert deaths == 2


def test_unused_forms_stay_until_they_are_dropped(home: Path) -> None:
    """A form whose key is not configured any more is listed, and dropped only when told to; then the old key opens nothing."""
    rotated(home, "key", "newer", rewrap_only=True)
    listed = rotated(home, "newer", rewrap_only=True)
    assert len(listed.unused) == 1
    assert listed.dropped == []
    assert opened(home, "key").keys.current()
    dropped = rotated(home, "newer", rewrap_only=True, drop=True)
    assert dropped.dropped == list(listed.unused)
    with pytest.raises(KeyLost):
        opened(home, "key")
    assert prove(opened(home, "newer")).problems == []


def test_nothing_is_dropped_without_a_proof(home: Path) -> None:
    """With a manifest that does not open the proof has a problem that names it, and no form is deleted."""
    rotated(home, "key", "newer", rewrap_only=True)
    manifest = next(path for path in (home / "repository").rglob("manifest") if FIRST in str(path))
    manifest.write_bytes(manifest.read_bytes()[:-9])
    with pytest.raises(Failed) as caught:
        rotated(home, "newer", rewrap_only=True, drop=True)
    assert caught.value.reason_code == "not-proved"
    assert FIRST in caught.value.message
    assert opened(home, "key").keys.current(), "its forms are still there"


def test_a_rotation_needs_every_key(home: Path) -> None:
    """With one of several keys missing nothing is written, and the sentence names it; reading goes on with the other."""
    rotated(home, "key", "passphrase", rewrap_only=True)
    (home / "passphrase").unlink()
    before = sorted((home / "repository").rglob("*"))
    config = EncryptionConfig(keys=(f"file:{home}/key", f"passphrase:{home}/passphrase"))
    repository = open_repository("local", RepositoryConfig.model_validate({"url": f"file://{home}/repository"}), config)
    with pytest.raises(Usage) as caught:
        rotate(repository, rewrap_only=False, drop_unused=False, go_on_with=None, begin=lambda _: None)
    assert (caught.value.reason_code, f"{home}/passphrase" in caught.value.message) == ("key-missing", True)
    assert sorted((home / "repository").rglob("*")) == before
    assert sample_cluster(repository).manifest(SECOND).id == SECOND


@pytest.mark.parametrize(
    ("spoil", "needle"),
    [
        ("volume", "header is altered"),
        ("gone", "missing"),
        ("wal", "chunk 0"),
        ("identity", "cluster.json"),
        ("form", "opens"),
        ("foreign", "which does not open"),
    ],
)
def test_what_the_proof_finds(home: Path, spoil: str, needle: str) -> None:
    """An altered header, a lost object, WAL that does not decrypt, a lost form, another repository's object: each is named."""
    root = home / "repository"
    rotated(home, "key", "second")
    volume = min(root.rglob("volumes/*/base/000001"))
    wal = min(root.rglob("wal/00000001/*"))
    target = {"volume": volume, "gone": volume, "wal": wal, "identity": next(root.rglob("cluster.json"))}.get(spoil)
    if spoil == "gone":
        volume.unlink()
    elif spoil == "form":
        next((root / "keys").rglob("2")).unlink()
    elif spoil == "foreign":
        other = home / "other"
        other.mkdir()
        open_sample(other).put_body(str(volume.relative_to(root)), b"mine")
        shutil.copy(other / "repository" / volume.relative_to(root), volume)
    else:
        assert target is not None
        place = 20 if spoil == "volume" else 100
        data = bytearray(target.read_bytes())
        data[place] ^= 1
        target.write_bytes(data)
    proof = prove(opened(home, "key", "second"))
    assert not proof.holds
    assert any(needle in problem for problem in proof.problems), proof.problems
    if target is not None:
        assert any(str(target.relative_to(root)) in problem for problem in proof.problems), proof.problems


def test_a_lost_generation_takes_only_its_own_along(home: Path) -> None:
    """With the first data key's only key gone, newer backups are listed and read, older ones are shown as not to be opened, and the
    error of one says how many it takes along; the proof says the same."""
    first = opened(home, "key").keys.ids()[0]
    create_key_file(home / "newer")
    second = KeyRing(FilesStore(home / "repository"), KeyFile(home / "newer")).create()
    cluster = sample_cluster(opened(home, "newer", "key"))
    assert cluster.repository.keys.current()[0] == second
    third = type(FIRST)("20261123T020000Z-base-0c0c")
    write_backup(cluster, third)
    (home / "key").unlink()
    alone = sample_cluster(opened(home, "newer"))
    listed = {backup.id: backup.damaged for backup in alone.backups()}
    assert listed[third] is None
    assert first in (listed[FIRST] or "")
    assert first in (listed[SECOND] or "")
    assert alone.manifest(third).id == third
    with pytest.raises(KeyLost) as caught:
        alone.manifest(FIRST)
    assert (
        f"It takes along 2 backups from 2026-11-21 02:00 to 2026-11-22 02:00 UTC ({FIRST}, {SECOND})"
        in caught.value.message
    )
    assert "3 WAL segments of slips" in caught.value.message
    assert caught.value.as_json()["backups"] == [FIRST, SECOND]
    problems = prove(alone.repository).problems
    assert any("takes along 2 backups" in problem for problem in problems)
    assert [lost.key_id for lost in alone.repository.keys.lost()] == [first]


def test_a_rotation_that_was_interrupted_is_told_from_a_new_one() -> None:
    """Only the data key that a rotation noted, stored, and begun within a day, is gone on with; never one without a note. Pure."""
    first, second = "0192f3a4b5c6" + "0" * 20, "0192f3a4b5c7" + "0" * 20
    soon = NOW + timedelta(minutes=5)
    assert interrupted([first, second], (second, NOW), soon) == second
    assert interrupted([first, second], (first, NOW), soon) == first, "a newer one was copied here meanwhile"
    assert interrupted([first, second], None, soon) is None
    assert interrupted([first], (second, NOW), soon) is None, "killed before it was stored"
    assert interrupted([first, second], (second, NOW), NOW + timedelta(days=2)) is None
    assert interrupted([first, second], (second, NOW), NOW - timedelta(minutes=1)) is None
    assert interrupted([], None, soon) is None

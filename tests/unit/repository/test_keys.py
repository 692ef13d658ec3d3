"""Keys: the file that wraps, the data keys that are wrapped, and what a wrong, missing or shared one is told."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from bot.config import EncryptionConfig, RepositoryConfig
from bot.errors import Conflict, PitstopError, Usage
from bot.repository.keys.file import create_key_file, read_key_file
from bot.repository.keys.ring import KeyRing
from bot.repository.open import open_repository
from bot.repository.stores.files import FilesStore
from tests.unit.repository.sample import SECOND, open_sample, sample_cluster, write_backup


def refused(path: Path) -> str:
    """Return the code with which a key file is refused, after making sure that nothing of it is shown."""
    with pytest.raises(Usage) as caught:
        read_key_file(path)
    content = path.read_text("latin-1") if path.is_file() else ""
    secrets = [line for line in content.splitlines() if len(line) > 20 and not line.startswith("#")]
    assert not any(secret in str(caught.value) for secret in secrets)
    assert caught.value.hint or caught.value.reason_code == "key-malformed"
    return caught.value.reason_code


def test_a_new_key_file(tmp_path: Path) -> None:
    """It is private, says its id and how to keep it, is read back, and is never overwritten."""
    path = tmp_path / "key"
    key_id = create_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key_file(path).id == key_id
    assert key_id in path.read_text()
    before = path.read_bytes()
    with pytest.raises(Conflict) as caught:
        create_key_file(path)
    assert caught.value.reason_code == "key-exists"
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["key"], "nothing temporary stays"


def test_keys_in_other_forms(tmp_path: Path) -> None:
    """Hexadecimal in either case and base64, with comments and blank lines, are the same key."""
    key = bytes(range(32))
    path = tmp_path / "key"
    for text in (key.hex(), key.hex().upper(), base64.b64encode(key).decode(), f"# mine\n\n  {key.hex()}  \n# end\n"):
        path.write_text(text)
        path.chmod(0o600)
        assert read_key_file(path).key == key


def test_key_files_that_are_refused(tmp_path: Path) -> None:
    """Missing, readable by others, not a key, two keys, a folder: each with its own code, showing nothing of the content."""
    path = tmp_path / "key"
    assert refused(path) == "key-missing"
    create_key_file(path)
    for mode in (0o644, 0o640, 0o604, 0o620, 0o602):
        path.chmod(mode)
        assert refused(path) == "key-not-private"
    path.chmod(0o600)
    for text in (
        "",
        "# only a comment\n",
        "secret-but-no-key-at-all-of-32-bytes",
        "ab" * 31,
        f"{'ab' * 32}\n{'cd' * 32}\n",
        "\xff" * 64,
    ):
        path.write_text(text, "latin-1")
        assert refused(path) == "key-malformed"
    path.unlink()
    path.mkdir()
    assert refused(path) in {"key-malformed", "key-unreadable"}


def test_the_wrong_key_names_the_right_one(tmp_path: Path) -> None:
    """Another installation's key file is told as that, naming both ids, and nothing in the repository changes."""
    right = create_key_file(tmp_path / "key")
    open_sample(tmp_path)
    (tmp_path / "key").rename(tmp_path / "kept")
    wrong = create_key_file(tmp_path / "key")
    before = sorted(tmp_path.rglob("*"))
    for create in (False, True):
        with pytest.raises(Usage) as caught:
            open_sample(tmp_path, create=create)
        assert caught.value.reason_code == "wrong-key"
        assert right in caught.value.message
        assert wrong in caught.value.message
    assert sorted(tmp_path.rglob("*")) == before
    assert right in (tmp_path / "kept").read_text().splitlines()[0], "as the hint says"


def test_a_data_key_made_elsewhere_is_found(tmp_path: Path) -> None:
    """A process that opened the repository before a second data key was made reads what is sealed with it."""
    early = open_sample(tmp_path)
    second = KeyRing(FilesStore(tmp_path / "repository"), read_key_file(tmp_path / "key")).create()
    late = open_sample(tmp_path)
    assert late.keys.current()[0] == second
    late.put_body("x/y", b"content")
    assert early.read_body("x/y") == b"content"
    assert early.keys.current()[0] != second, "the key of a running process does not change under it"


def test_an_older_key_still_opens_what_it_sealed(tmp_path: Path) -> None:
    """After a new data key old backups are read as before, and new objects are sealed with the new one."""
    write_backup(sample_cluster(open_sample(tmp_path)))
    KeyRing(FilesStore(tmp_path / "repository"), read_key_file(tmp_path / "key")).create()
    cluster = sample_cluster(open_sample(tmp_path))
    assert cluster.manifest(SECOND).id == SECOND
    assert cluster.repository.keys.ids()[0] < cluster.repository.keys.current()[0]


def test_no_two_objects_share_a_salt(tmp_path: Path) -> None:
    """Every object has a salt of its own, so that no nonce repeats under one key, also for the same content."""
    repository = open_sample(tmp_path)
    write_backup(sample_cluster(repository))
    for n in range(50):
        repository.put_body(f"same/{n}", b"content")
    files = [path for path in (tmp_path / "repository").rglob("*") if path.is_file() and "keys" not in path.parts]
    salts = [path.read_bytes()[24:56] for path in files]
    assert len(salts) > 60
    assert len(set(salts)) == len(salts)


@pytest.mark.parametrize("name", ["a file", "strange things", "a file where the folder should be"])
def test_a_folder_that_is_no_repository(tmp_path: Path, name: str) -> None:
    """A folder with other things in it is never begun as a repository, and a file in its place is told."""
    root = tmp_path / "repository"
    if name == "a file where the folder should be":
        root.write_text("x")
    else:
        root.mkdir()
        (root / name).write_text("mine")
    create_key_file(tmp_path / "key")
    config = RepositoryConfig.model_validate({"url": f"file://{root}"})
    with pytest.raises(PitstopError) as caught:
        open_repository("local", config, EncryptionConfig(key=f"file:{tmp_path}/key"), create=True)
    assert caught.value.reason_code in {"not-a-repository", "repository-not-a-folder", "storage-forbidden"}
    assert not (root / "keys").exists()


def test_a_missing_folder_is_not_made_for_reading(tmp_path: Path) -> None:
    """Reading from a repository whose folder is missing says so, asks whether its disk is mounted, and makes nothing."""
    create_key_file(tmp_path / "key")
    with pytest.raises(Usage) as caught:
        open_sample(tmp_path, create=False)
    assert caught.value.reason_code == "repository-missing"
    assert "mounted" in caught.value.hint
    assert not (tmp_path / "repository").exists()

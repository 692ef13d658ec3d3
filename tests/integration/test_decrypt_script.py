"""The stand-alone script that reads a repository without Pitstop, as somebody in need would run it."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

from bot.repository import layout
from tests.stand_alone import SCRIPT
from tests.unit.repository.sample import (
    NAME,
    SECOND,
    SYSTEM,
    TABLESPACE,
    data_directory,
    open_sample,
    sample_cluster,
    segment,
    write_backup,
)


def decrypt(folder: Path, *words: str, key: str = "key") -> subprocess.CompletedProcess[bytes]:
    """Run the stand-alone script without anything of Pitstop on its path."""
    argv = [sys.executable, "-I", str(SCRIPT), str(folder / key), str(folder / "repository"), *words]
    return subprocess.run(argv, capture_output=True, check=False, cwd="/")


@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
def test_the_script_reads_everything(tmp_path: Path, codec: str) -> None:
    """The stand-alone script gives back each object and whole archives, whatever the codec, byte for byte."""
    cluster = sample_cluster(open_sample(tmp_path, codec=codec))
    write_backup(cluster)
    cluster.wal.put_segment(1, 2, segment(2))
    folder = layout.backup(NAME, SYSTEM, SECOND)
    done = decrypt(tmp_path, "extract", folder, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{TABLESPACE}.tar",
        "backup_manifest",
        "base.tar",
    ]
    with tarfile.open(tmp_path / "out/base.tar") as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isreg()}  # type: ignore[union-attr]
    assert members == {name: content for name, content in data_directory().items() if content is not None}
    manifest = decrypt(tmp_path, "cat", f"{folder}/manifest")
    assert manifest.stdout == cluster.manifest(SECOND).as_bytes()
    wal = decrypt(tmp_path, "cat", f"{NAME}/{SYSTEM}/wal/00000001/000000010000000000000002")
    assert wal.stdout == segment(2)


def test_the_script_finds_damage(tmp_path: Path) -> None:
    """Flipped bits, truncation and swapped volumes end with 4 and a sentence, never with a traceback."""
    write_backup(sample_cluster(open_sample(tmp_path)))
    folder = layout.backup(NAME, SYSTEM, SECOND)
    volumes = layout.volumes_of(NAME, SYSTEM, SECOND)
    base = tmp_path / "repository" / volumes / "base"
    first, second = ((base / name).read_bytes() for name in ("000000", "000001"))
    rng = random.Random(5)
    harmed = [first[:40], first[:-1], second, b"", *(flip(first, rng.randrange(len(first) * 8)) for _ in range(6))]
    for content in harmed:
        (base / "000000").write_bytes(content)
        done = decrypt(tmp_path, "cat", f"{volumes}/base/000000")
        assert done.returncode == 4, done.stderr
        assert b"base/000000" in done.stderr
        assert b"Traceback" not in done.stderr
    (base / "000000").write_bytes(first)
    (base / "000001").unlink()
    assert b"base/000001: is missing" in said(decrypt(tmp_path, "extract", folder, str(tmp_path / "out")), 4)
    assert decrypt(tmp_path, "cat", f"{folder}/manifest").returncode == 0


def test_what_is_not_done_by_half(tmp_path: Path) -> None:
    """An archive that turns out damaged leaves no file behind; nothing that is there already is overwritten."""
    write_backup(sample_cluster(open_sample(tmp_path)))
    folder, out = layout.backup(NAME, SYSTEM, SECOND), tmp_path / "out"
    second = tmp_path / "repository" / layout.volumes_of(NAME, SYSTEM, SECOND) / "base/000001"
    sound = second.read_bytes()
    second.write_bytes(flip(sound, 8 * len(sound) - 1))
    assert b"base/000001: chunk" in said(decrypt(tmp_path, "extract", folder, str(out)), 4)
    assert not [path for path in out.iterdir() if path.name.startswith("base.tar")]
    second.write_bytes(sound)
    shutil.rmtree(out)
    said(decrypt(tmp_path, "extract", folder, str(out)), 0)
    before = (out / "base.tar").stat()
    assert b"already, and it is not overwritten" in said(decrypt(tmp_path, "extract", folder, str(out)), 2)
    assert (out / "base.tar").stat() == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "base.tar.part").write_text("somebody's")
    told = said(decrypt(tmp_path, "extract", folder, str(other)), 2)
    assert b"other/base.tar.part already, and it is not overwritten" in told
    assert [(path.name, path.read_text()) for path in other.iterdir()] == [("base.tar.part", "somebody's")]
    (other / "base.tar.part").unlink()
    (other / "base.tar.part").symlink_to(tmp_path / "elsewhere")
    assert b"base.tar.part: File exists" in said(decrypt(tmp_path, "extract", folder, str(other)), 1)
    assert (other / "base.tar.part").is_symlink(), "what it did not make it does not remove either"
    assert not (tmp_path / "elsewhere").exists()


def test_the_ways_to_name_a_backup(tmp_path: Path) -> None:
    """The path, the manifest's, one with the repository in front and the bare id are the same backup; an id that two clusters
    have, and one that nobody has, say what to write."""
    write_backup(sample_cluster(open_sample(tmp_path)))
    folder = layout.backup(NAME, SYSTEM, SECOND)
    inside = f"{tmp_path}/repository/{folder}"
    for number, named in enumerate((f"{folder}/", f"{folder}/manifest", f"./{folder}", inside, SECOND)):
        said(decrypt(tmp_path, "extract", named, str(tmp_path / f"out-{number}")), 0)
        assert (tmp_path / f"out-{number}/base.tar").is_file()
    said(decrypt(tmp_path, "cat", f"{inside}/manifest"), 0)
    assert b"is not in" in said(decrypt(tmp_path, "cat", f"/elsewhere/{folder}/manifest"), 2)
    assert folder.encode() in said(decrypt(tmp_path, "extract", "20261122T020000Z-base-ffff", str(tmp_path / "no")), 2)
    shutil.copytree(tmp_path / "repository" / NAME, tmp_path / "repository/other")
    both = said(decrypt(tmp_path, "extract", SECOND, str(tmp_path / "no")), 2)
    assert f"write other/{SYSTEM}/backups/{SECOND} or {folder}".encode() in both


def test_what_is_typed_wrong(tmp_path: Path) -> None:
    """A key, a repository or an object that is not there, and a key that opens nothing, end with 2 and one sentence."""
    write_backup(sample_cluster(open_sample(tmp_path)))
    manifest = f"{layout.backup(NAME, SYSTEM, SECOND)}/manifest"
    (tmp_path / "other").write_text("ab" * 32)
    (tmp_path / "typo").write_text("correct horse battery stapel\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("\n")
    [key_id] = [path.name for path in (tmp_path / "repository/keys").iterdir()]
    for key in ("other", "typo"):
        wrong = said(decrypt(tmp_path, "cat", manifest, key=key), 2)
        assert f"This key opens no form of the data key {key_id}, which is wrapped by file ".encode() in wrong
    assert b"cannot be read: No such file" in said(decrypt(tmp_path, "cat", manifest, key="gone"), 2)
    assert b"is not text" in said(decrypt(tmp_path, "cat", manifest, key="binary"), 2)
    assert b"is empty" in said(decrypt(tmp_path, "cat", manifest, key="empty"), 2)
    assert b"There is no object slips/nothing in" in said(decrypt(tmp_path, "cat", "slips/nothing"), 2)
    assert b"decrypt.py KEY REPOSITORY cat OBJECT" in said(decrypt(tmp_path, "frobnicate"), 2)
    (tmp_path / "repository").rename(tmp_path / "unmounted")
    assert b"There is no folder" in said(decrypt(tmp_path, "cat", manifest), 2)


def test_a_module_that_is_missing(tmp_path: Path) -> None:
    """A Python without them is told how to install them."""
    python = tmp_path / "bare/bin/python3"
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    done = subprocess.run([python, "-I", SCRIPT], capture_output=True, check=False, cwd="/")
    assert b"no module zstandard. Install it: python3 -m pip install cryptography zstandard" in said(done, 2)


def said(done: subprocess.CompletedProcess[bytes], code: int) -> bytes:
    """Return what a run printed beside its answer, having ended with `code` and no traceback."""
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    return done.stderr


def flip(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit flipped."""
    at, shift = divmod(bit, 8)
    return data[:at] + bytes([data[at] ^ 1 << shift]) + data[at + 1 :]

"""The stand-alone script that reads a repository without Pitstop, as somebody in need would run it."""

from __future__ import annotations

import random
import subprocess
import sys
import tarfile
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
    """Flipped bits, truncation, swapped volumes and a wrong key end with 4 and a sentence, never with a traceback."""
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
    (tmp_path / "other").write_text("ab" * 32)
    assert decrypt(tmp_path, "cat", f"{folder}/manifest", key="other").returncode == 4
    assert decrypt(tmp_path, "frobnicate").returncode == 2
    assert decrypt(tmp_path, "cat", f"{folder}/manifest").returncode == 0


def flip(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit flipped."""
    at, shift = divmod(bit, 8)
    return data[:at] + bytes([data[at] ^ 1 << shift]) + data[at + 1 :]

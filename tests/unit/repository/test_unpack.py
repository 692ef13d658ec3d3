"""Restoring files: just what was backed up, inside its folders alone, and nothing a server would start from before it is whole."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.errors import Corruption, Refused, Unavailable
from bot.repository.cluster import ClusterRepository
from bot.repository.unpack import unpack
from tests.unit.repository.sample import (
    NAME,
    SECOND,
    SMALL_CUT,
    SYSTEM,
    TABLESPACE,
    commit,
    data_directory,
    link_to,
    tar_of,
    write_backup,
)

Members = Sequence[tuple[str, bytes | None] | tarfile.TarInfo]


def restore(cluster: ClusterRepository, folder: Path, *, workers: int = 2) -> Path:
    """Restore the sample backup into `folder`; return its data directory."""
    manifest = cluster.manifest(SECOND)
    unpack(cluster, manifest, folder / "data", tablespace_dir=lambda oid: folder / f"space{oid}", workers=workers)
    return folder / "data"


@pytest.mark.parametrize("workers", [1, 4])
def test_what_comes_back(cluster: ClusterRepository, tmp_path: Path, workers: int) -> None:
    """Files, folders, modes, the link of the tablespace and PostgreSQL's own manifest are those of the source."""
    write_backup(cluster)
    data = restore(cluster, tmp_path / "out", workers=workers)
    found = {str(path.relative_to(data)): path for path in data.rglob("*") if not path.is_symlink()}
    wanted = data_directory()
    assert set(found) - {"backup_manifest"} == set(wanted)
    for name, content in wanted.items():
        path = found[name]
        assert path.is_dir() if content is None else path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if content is None else 0o600)
    link = data / f"pg_tblspc/{TABLESPACE}"
    assert link.readlink() == tmp_path / f"out/space{TABLESPACE}"
    assert (link / "PG_15_202209061/5/16400").stat().st_size == 70_000
    assert found["backup_manifest"].read_bytes().startswith(b"{")


def test_a_folder_that_is_not_empty(cluster: ClusterRepository, tmp_path: Path) -> None:
    """Into a folder that holds anything, nothing is written, also not when only a tablespace's folder does."""
    write_backup(cluster)
    for place in ("data", f"space{TABLESPACE}"):
        folder = tmp_path / place.strip("0123456789")
        (folder / place).mkdir(parents=True)
        (folder / place / "mine").write_text("x")
        with pytest.raises(Refused) as caught:
            restore(cluster, folder)
        assert caught.value.reason_code == "directory-not-empty"
        assert [path.name for path in folder.rglob("*") if path.is_file()] == ["mine"]


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
@pytest.mark.parametrize("name", ["000000", "000002", "index"])
def test_a_damaged_backup_leaves_nothing_to_start(
    cluster: ClusterRepository, tmp_path: Path, name: str, harm: str
) -> None:
    """A damaged or missing volume or index stops the restore, naming the object; the folder has no control file."""
    write_backup(cluster)
    file = tmp_path / "repository" / NAME / SYSTEM / "volumes" / SECOND / "base" / name
    sound = file.read_bytes()
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes(sound[:-1] if harm == "cut" else sound[:200] + bytes([sound[200] ^ 4]) + sound[201:])
    with pytest.raises(Corruption) as caught:
        restore(cluster, tmp_path / "out")
    assert f"base/{name}" in caught.value.message
    assert not (tmp_path / "out/data/global/pg_control").exists()


HOSTILE: dict[str, Members] = {
    "climbs": [("../evil", b"x")],
    "climbs within": [("base", None), ("base/../../evil", b"x")],
    "absolute": [("/tmp/evil", b"x")],
    "a dot": [("base", None), ("base/./evil", b"x")],
    "through a link": [link_to(f"pg_tblspc/{TABLESPACE}", "/srv"), (f"pg_tblspc/{TABLESPACE}/evil", b"x")],
    "a link elsewhere": [link_to("base", "/etc")],
    "a link of an unknown tablespace": [("pg_tblspc", None), link_to("pg_tblspc/99999", "/etc")],
    "a link with a newline": [("pg_tblspc", None), link_to(f"pg_tblspc/{TABLESPACE}\n", "/etc")],
    "twice": [("a", b"x"), ("a", b"y")],
    "a file below a file": [("a", b"x"), ("a/b", b"y")],
    "without its folder": [("no/folder", b"x")],
    "a device": [tarfile.TarInfo("null")],
    "a hard link": [("a", b"x"), tarfile.TarInfo("b")],
}
for _info, _type in ((HOSTILE["a device"][0], tarfile.CHRTYPE), (HOSTILE["a hard link"][1], tarfile.LNKTYPE)):
    assert isinstance(_info, tarfile.TarInfo)
    _info.type, _info.linkname = _type, "a"


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_writes_nothing_outside(cluster: ClusterRepository, tmp_path: Path, kind: str) -> None:
    """Whatever names and links an archive holds, nothing is written outside the folders, and the restore is refused or fails."""
    folder = tmp_path / "deep" / "out"
    with cluster.begin(SECOND, workers=1, cut=SMALL_CUT) as writer:
        for name, oid, members in (("base", None, HOSTILE[kind]), (str(TABLESPACE), TABLESPACE, [("x", b"x")])):
            archive = writer.archive(name, tablespace=oid, location="/srv" if oid else None)
            archive.write(tar_of(members))
            archive.close()
        commit(writer)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    with pytest.raises(Refused) as caught:
        restore(cluster, folder)
    assert caught.value.reason_code == "hostile-member"
    after = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    assert after - before <= {tmp_path / "deep", folder}
    assert not any(path.is_symlink() for path in folder.rglob("*") if not path.name.isdigit())
    assert not (folder / "data/global/pg_control").exists()


def test_a_disk_that_fails_leaves_nothing_to_start(
    cluster: ClusterRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk says while files are made durable in the background is told, and no server can start in the folder."""

    def fdatasync(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write_backup(cluster)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr("bot.repository.unpack._WORTH_FLUSHING_BYTES", 1)
    with pytest.raises(Unavailable) as caught:
        restore(cluster, tmp_path / "out")
    assert caught.value.reason_code == "disk-failed"
    assert not (tmp_path / "out/data/global/pg_control").exists()

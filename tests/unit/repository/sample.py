"""Sample tars, backups and repositories: small, seeded, shaped like PostgreSQL's."""

from __future__ import annotations

import random
import struct
import tarfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.config import EncryptionConfig, RepositoryConfig
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.wal import Lsn
from bot.repository.backup_writer import BackupWriter, Cut
from bot.repository.cluster import ClusterRepository
from bot.repository.keys.file import create_key_file
from bot.repository.open import open_repository
from bot.repository.repository import Repository

NAME = ClusterName("slips")
SYSTEM = SystemId("7300000000000000001")
FIRST = BackupId("20261121T020000Z-base-0a0a")
SECOND = BackupId("20261122T020000Z-base-7f3a")
AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
SEGMENT_BYTES = 1024 * 1024
SMALL_CUT = Cut(piece_bytes=16 * 1024, volume_bytes=64 * 1024)
TABLESPACE = 16394


def open_sample(folder: Path, *, name: str = "local", codec: str = "zstd", create: bool = True) -> Repository:
    """Open (and make) the repository in `folder`/repository with the key in `folder`/key."""
    key = folder / "key"
    if not key.exists():
        create_key_file(key)
    config = RepositoryConfig.model_validate({"url": f"file://{folder}/repository", "codec": codec, "level": 1})
    return open_repository(name, config, EncryptionConfig(key=f"file:{key}"), create=create)


def sample_cluster(repository: Repository) -> ClusterRepository:
    """Open the sample cluster, with small segments."""
    return repository.cluster(NAME, SYSTEM, create=True, segment_bytes=SEGMENT_BYTES)


def tar_of(members: Sequence[tuple[str, bytes | None] | tarfile.TarInfo], *, end: bool = True) -> bytes:
    """Return a ustar of files (name, content), folders (name, None) or headers given as they are."""
    out = bytearray()
    for member in members:
        if isinstance(member, tarfile.TarInfo):
            out += member.tobuf(tarfile.USTAR_FORMAT)
            continue
        name, content = member
        info = tarfile.TarInfo(name)
        info.mode, info.mtime, info.uid, info.gid = (0o700 if content is None else 0o600), 1_700_000_000, 70, 71
        if content is None:
            info.type = tarfile.DIRTYPE
        info.size = len(content or b"")
        out += info.tobuf(tarfile.USTAR_FORMAT) + (content or b"") + bytes(-len(content or b"") % 512)
    return bytes(out) + bytes(1024 if end else 0)


def link_to(name: str, target: str) -> tarfile.TarInfo:
    """Return the header of a symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info


def content(seed: int, size: int) -> bytes:
    """Return bytes of which about a half can be compressed away."""
    rng = random.Random(seed)
    return b"".join(rng.randbytes(32) + bytes(32) for _ in range(-(-size // 64)))[:size]


def data_directory(seed: int = 1) -> dict[str, bytes | None]:
    """Return the members of a small data directory: folders, empty, small and large files."""
    return {
        "PG_VERSION": b"15\n",
        "backup_label": b"START WAL LOCATION: 0/2000028\n",
        "base": None,
        "base/5": None,
        "base/5/empty": b"",
        "base/5/1259": content(seed, 40_000),
        "base/5/2619_fsm": content(seed + 1, 24_576),
        "base/5/16385": content(seed + 2, 150_000),
        "pg_wal": None,
        "pg_tblspc": None,
        "global": None,
        "global/pg_control": content(seed + 3, 8192),
    }


def write_archives(writer: BackupWriter, members: Mapping[str, bytes | None], *, step: int = 7000) -> None:
    """Write a data directory with one tablespace and a backup_manifest."""
    base: list[tuple[str, bytes | None] | tarfile.TarInfo] = list(members.items())
    base.insert(-2, link_to(f"pg_tblspc/{TABLESPACE}", "/srv/fast"))
    tablespace = tar_of(
        [("PG_15_202209061", None), ("PG_15_202209061/5", None), ("PG_15_202209061/5/16400", content(9, 70_000))]
    )
    for name, oid, data in (("base", None, tar_of(base)), (str(TABLESPACE), TABLESPACE, tablespace)):
        archive = writer.archive(name, tablespace=oid, location="/srv/fast" if oid else None)
        for start in range(0, len(data), step):
            archive.write(data[start : start + step])
        archive.close()
    manifest = writer.archive("backup_manifest", tar=False)
    manifest.write(b'{ "PostgreSQL-Backup-Manifest-Version": 1 }\n')
    manifest.close()


def commit(writer: BackupWriter, *, damaged: str | None = None) -> BackupSummary:
    """Commit with plausible facts."""
    return writer.commit(
        {"server_facts": {"version_num": 150018}, "configuration": {"postgresql.conf": "port = 5432\n"}},
        started_at=AT,
        finished_at=AT + timedelta(minutes=3),
        timeline=1,
        start_lsn=Lsn.parse("0/2000028"),
        end_lsn=Lsn.parse("0/2000138"),
        server_version=150018,
        damaged=damaged,
    )


def write_backup(cluster: ClusterRepository, backup: BackupId = SECOND, *, seed: int = 1) -> BackupSummary:
    """Write a whole small backup of several volumes."""
    with cluster.begin(backup, workers=2, cut=SMALL_CUT) as writer:
        write_archives(writer, data_directory(seed))
        return commit(writer)


def segment(seed: int) -> bytes:
    """Return a WAL segment's worth of bytes, mostly zeros."""
    return random.Random(seed).randbytes(20_000) + bytes(SEGMENT_BYTES - 20_000)


def wal_segment(timeline: int, number: int, *, system: str = SYSTEM, seed: int = 1) -> bytes:
    """Return a segment as `segment` makes it, with the page header it would begin with (XLogLongPageHeaderData)."""
    address = number * SEGMENT_BYTES
    header = struct.pack("<HHIQI4xQII", 0xD110, 0x0002, timeline, address, 0, int(system), SEGMENT_BYTES, 8192)
    return header + segment(seed)[len(header) :]

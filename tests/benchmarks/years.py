"""Repositories as after years, made in seconds: the last backup and the newest WAL are real, what is older only lists alike."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from bot.model.wal import parse_segment_name, segment_name, segment_number, segment_start
from bot.repository.wal import WalArchive
from tests.benchmarks.ground import Cluster, Ground
from tests.benchmarks.ours import Pitstop
from tests.benchmarks.pgbackrest import STANZA, PgBackRest
from tests.large import add_backups, add_segments

_SERVER_VERSION = 150000
_PAGE_ADDRESS_AT = 8


@dataclass(frozen=True, slots=True)
class Years:
    """How much there is: backups, and segments of WAL between the first and the last."""

    backups: int
    segments: int

    @property
    def every(self) -> int:
        """How many segments lie between two backups."""
        return self.segments // self.backups


def years_old(ground: Ground, years: Years) -> tuple[Cluster, Pitstop]:
    """Return a small cluster whose WAL has come that far, and Pitstop's repository of it."""
    begins_at = segment_name(1, years.segments + 1)
    cluster = ground.cluster_of_its_own("years", 10, {}, first_segment=begins_at)
    ours = Pitstop(cluster)
    ours.back_up()
    history = cluster.installation.repository()
    [newest] = history.backups()
    first = segment_number(newest.start_lsn, history.segment_bytes)
    _archive(cluster, history.wal, first)
    add_backups(history, years.backups - 1, every=years.every, server_version=_SERVER_VERSION)
    # The first one is read for the sizes that WAL is laid out with: a real one, at the first one's place.
    segment = bytearray(history.wal.read_segment(1, first) or b"")
    struct.pack_into("<Q", segment, _PAGE_ADDRESS_AT, segment_start(1, history.segment_bytes))
    history.wal.put_segment(1, 1, segment)
    add_segments(history, first - 2, first=2)
    return cluster, ours


def _archive(cluster: Cluster, archive: WalArchive, first: int) -> None:
    """Commit something after the backup, and store the whole segments from `first` on: a list looks for the last commit."""
    with psycopg.connect(cluster.server.dsn(), autocommit=True) as db:
        db.execute("CREATE TABLE newest AS SELECT 1 AS n")
        [(name,)] = db.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchall()
    for number in range(first, parse_segment_name(str(name))[1] + 1):
        path = cluster.server.data_directory / "pg_wal" / segment_name(1, number)
        archive.put_segment(1, number, path.read_bytes())


def age(peer: PgBackRest, years: Years) -> None:
    """Make pgBackRest's repository as old: its list of backups is one file, whose entries are copied, and segments are names."""
    peer.set_up(encrypted=False)
    peer.take()
    repository = peer.home / "repository"
    info = repository / "backup" / STANZA / "backup.info"
    aged = _aged(info.read_text("utf-8"), years)
    for path in (info, info.with_suffix(".info.copy")):
        path.write_text(aged, "utf-8")
    archive = repository / "archive" / STANZA / "15-1"
    for number in range(1, years.segments + 1):
        name = segment_name(1, number)
        folder = archive / name[:16]
        if number == 1 or number % 256 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
        os.close(os.open(folder / f"{name}-{digest}.zst", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def _aged(text: str, years: Years) -> str:
    """Return a backup.info with copies of its one backup, a day apart, before it."""
    lines = text.split("[backrest]\nbackrest-checksum")[0].rstrip("\n").split("\n")
    place = next(number for number, line in enumerate(lines) if line.startswith("20"))
    _, _, entry = lines[place].partition("=")
    older = []
    for number in range(years.backups - 1):
        begun = 1_704_074_400 + number * 86_400
        segment = segment_name(1, 1 + number * years.every)
        copied = json.loads(entry)
        copied |= {"backup-archive-start": segment, "backup-archive-stop": segment}
        copied |= {"backup-timestamp-start": begun, "backup-timestamp-stop": begun + 180}
        older.append(f"{datetime.fromtimestamp(begun, UTC):%Y%m%d-%H%M%S}F={json.dumps(copied, separators=(',', ':'))}")
    lines[place:place] = older
    body = "\n".join(lines) + "\n"
    return f'{body}\n[backrest]\nbackrest-checksum="{checksum(body)}"\n'


def checksum(text: str) -> str:
    """Return what pgBackRest signs its information files with: SHA-1 of all sections and keys as one JSON document."""
    sections: dict[str, list[str]] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("["):
            current = line.strip("[]")
            sections[current] = []
        elif line:
            key, _, value = line.partition("=")
            sections[current].append(f'"{key}":{value}')
    document = ",".join(f'"{name}":{{{",".join(keys)}}}' for name, keys in sections.items())
    return hashlib.sha1(f"{{{document}}}".encode(), usedforsecurity=False).hexdigest()

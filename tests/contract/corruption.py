"""A repository with one object of each kind, and seeded ways to spoil one object of it; only what is touched is put back."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.model.ids import BackupId, ClusterName, SystemId
from bot.repository import envelope, layout
from bot.repository.backup_writer import Cut
from bot.repository.cluster import ClusterRepository
from bot.repository.open import open_repository
from bot.repository.repository import Repository
from tests.unit.repository.sample import (
    AT,
    FIRST,
    NAME,
    SECOND,
    SEGMENT_BYTES,
    SYSTEM,
    TABLESPACE,
    commit,
    content,
    data_directory,
    wal_segment,
    write_archives,
)
from tests.unit.retention_world import World

OTHER, OTHER_SYSTEM = ClusterName("orders"), SystemId("7300000000000000002")
DUMP, OLDER_DUMP = BackupId("20261122T023000Z-dump-7f3a"), BackupId("20261121T023000Z-dump-0a0a")
FIRST_SEGMENT, LAST_SEGMENT = 32, 36
"""Whole segments of the line that a restore reads; the backup begins in the first, timeline 2 in the last but one."""
FORK = 35 * SEGMENT_BYTES + 4096
PIECE_END = 10_000
THREE_CHUNKS = Cut(piece_bytes=512 * 1024, volume_bytes=8 * 1024 * 1024)

REGIONS = ("header", "first chunk", "middle", "last chunk", "tag", "end")
IN_PLACE = ("flip a bit", "cut off", "insert", "zeros")
WHOLE = ("swap", "other backup", "other cluster", "other repository", "same keys", "delete")


def _records(backup: BackupId) -> str:
    return layout.backup(NAME, SYSTEM, backup)


def _volumes(backup: BackupId) -> str:
    return layout.volumes_of(NAME, SYSTEM, backup)


def _wal(timeline: int) -> str:
    return layout.timeline(layout.wal(NAME, SYSTEM), timeline)


KINDS = {
    "manifest": layout.manifest(_records(SECOND)),
    "summary": layout.summary(_records(SECOND)),
    "event": layout.event(_records(SECOND), AT, "verified"),
    "index": layout.index(_volumes(SECOND), "base"),
    "base volume": layout.volume(_volumes(SECOND), "base", 0),
    "tablespace volume": layout.volume(_volumes(SECOND), str(TABLESPACE), 0),
    "server's manifest": layout.volume(_volumes(SECOND), "backup_manifest", 0),
    "dump volume": layout.volume(_volumes(DUMP), "db-0", 0),
    "dump's globals": layout.volume(_volumes(DUMP), "globals", 0),
    "segment": f"{_wal(1)}/000000010000000000000021",
    "piece": f"{_wal(2)}/000000020000000000000025{layout.PARTIAL}/{layout.piece(0, PIECE_END)}",
    "history": f"{_wal(2)}/00000002.history",
    "cluster.json": layout.identity(NAME, SYSTEM),
    "wrapped key": "",
}
"""The object of each kind that is spoiled; the key's path is known once it is made."""

SWAPPED_WITH = {
    "base volume": layout.volume(_volumes(FIRST), "base", 1),
    "segment": f"{_wal(1)}/000000010000000000000022",
    "piece": KINDS["history"],
    "history": KINDS["piece"],
    "cluster.json": KINDS["summary"],
    "dump volume": KINDS["dump's globals"],
    "dump's globals": KINDS["dump volume"],
}
"""What a kind changes places with, where that is not its namesake in the other backup."""


@dataclass(frozen=True, slots=True)
class Case:
    """One corruption: object kind, what is done, and where in the object (`whole` where that means nothing)."""

    number: int
    kind: str
    operation: str
    region: str


@dataclass
class Ground:
    """The repository, others to take foreign objects from, and the folder all of it is in."""

    world: World
    foreign: Path
    twin: Path
    kinds: dict[str, str]
    key_partner: str
    sound: dict[str, bytes] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The repository's folder."""
        return self.world.home / "repository"

    def cells(self) -> list[tuple[str, str, str]]:
        """Return every (kind, operation, region) there is."""
        found = [(kind, done, region) for kind in self.kinds for done in IN_PLACE for region in REGIONS]
        return found + [
            (kind, done, "whole")
            for kind in self.kinds
            for done in WHOLE
            if done == "delete" or self.source(kind, done)
        ]

    def case(self, number: int) -> Case:
        """Return corruption `number`: the cells take turns, so that each is done as often as any other."""
        cells = self.cells()
        return Case(number, *cells[number % len(cells)])

    def source(self, kind: str, operation: str) -> Path | None:
        """Return the sound object that is put in the place of a kind's; None where that would be the same object."""
        path = self.kinds[kind]
        match operation:
            case "swap" | "other backup" if kind == "wrapped key":
                return self.root / self.key_partner if operation == "swap" else None
            case "swap":
                return self.root / SWAPPED_WITH.get(kind, _namesake(path))
            case "other backup":
                return self.root / _namesake(path) if _namesake(path) != path else None
            case "other cluster":
                own, other = layout.system(NAME, SYSTEM), layout.system(OTHER, OTHER_SYSTEM)
                return self.root / path.replace(own, other) if path.startswith(own) else None
            case "other repository" if kind == "wrapped key":
                return next(self.foreign.glob("keys/*/1"))
            case "other repository":
                return self.foreign / path
            case "same keys" if kind in NAMED_BY_MANIFEST:
                return self.twin / path
        return None

    @contextmanager
    def spoiled(self, case: Case, rng: random.Random) -> Iterator[set[str]]:
        """Spoil one object while the block lasts, and yield the paths that are wrong then."""
        path = self.kinds[case.kind]
        file, touched = self.root / path, {path: (self.root / path).read_bytes()}
        source = self.source(case.kind, case.operation)
        if case.operation == "swap" and source is not None:
            other = str(source.relative_to(self.root))
            touched[other] = source.read_bytes()
            source.write_bytes(touched[path])
            file.write_bytes(touched[other])
        elif source is not None:
            file.write_bytes(source.read_bytes())
        elif case.operation == "delete":
            file.unlink()
        else:
            file.write_bytes(spoil(touched[path], case.operation, case.region, rng))
        before = set(self.root.rglob("events/*"))
        try:
            yield set(touched)
        finally:
            for event in set(self.root.rglob("events/*")) - before:
                event.unlink()
            for name, data in touched.items():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                (self.root / name).write_bytes(data)


NAMED_BY_MANIFEST = (
    "manifest", "summary", "index", "base volume", "tablespace volume", "server's manifest", "dump volume", "dump's globals",
)  # fmt: skip
"""Kinds whose content a manifest names. Under the same keys and the same name any other object is the very same one: a WAL
segment, a history, an identity of one cluster; or an event, which is believed whatever it says."""


def spoil(data: bytes, operation: str, region: str, rng: random.Random) -> bytes:
    """Return `data` with one bit flipped, cut off, bytes inserted, or bytes zeroed, within a region of the object."""
    start, end = bounds(len(data), region)
    at = rng.randrange(start, max(start + 1, end))
    match operation:
        case "flip a bit":
            return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        case "cut off":
            return data[:at]
        case "insert":
            return data[:at] + rng.randbytes(rng.randrange(1, 65)) + data[at:] if region != "end" else data + b"\0"
        case _:
            width = rng.randrange(1, 65)
            zeroed = data[:at] + bytes(len(data[at : at + width])) + data[at + width :]
            return zeroed if zeroed != data else data[:at] + b"\1" + data[at + 1 :]


def bounds(size: int, region: str) -> tuple[int, int]:
    """Return the bytes [start, end) of a region of an object of `size` bytes; small objects have one chunk alone."""
    header = min(envelope.HEADER_BYTES, size // 2)
    tag = size - envelope.TAG_BYTES
    last = header + (max(0, tag - 1 - header) // envelope.SEALED_CHUNK_BYTES) * envelope.SEALED_CHUNK_BYTES
    return {
        "header": (0, header),
        "first chunk": (header, min(header + envelope.CHUNK_BYTES, tag)),
        "middle": (size // 3, 2 * size // 3),
        "last chunk": (last, tag),
        "tag": (tag, size),
        "end": (size - 1, size),
    }[region]


def build(home: Path) -> Ground:
    """Make the repository, a foreign one under the same key file, and a twin with the same data keys and other content."""
    world = World(home, '[clusters.slips.scrub]\nbudget = "100%"\n[clusters.slips.retention]\nwal = "3650d"\n')
    world.now = datetime.now(UTC) + timedelta(days=1)
    _fill(world.opened, 1)
    [key] = (home / "repository/keys").glob("*/1")
    newer = world.opened.keys.create()
    _opened(world, home / "foreign", 2)
    shutil.copytree(home / "repository/keys", home / "twin/keys")
    _opened(world, home / "twin", 3)
    kinds = {**KINDS, "wrapped key": str(key.relative_to(home / "repository"))}
    return Ground(world, home / "foreign", home / "twin", kinds, f"{layout.key_folder(newer)}/1")


def _opened(world: World, root: Path, seed: int) -> None:
    settings = world.config.repositories["local"].model_copy(update={"url": f"file://{root}"})
    _fill(open_repository("other", settings, world.config.encryption, create=True), seed)


def _fill(repository: Repository, seed: int) -> None:
    for name, system, plus in ((NAME, SYSTEM, 0), (OTHER, OTHER_SYSTEM, 50)):
        _history(repository.cluster(name, system, create=True, segment_bytes=SEGMENT_BYTES), seed + plus)


def _history(cluster: ClusterRepository, seed: int) -> None:
    """Write two base backups, two dumps, an event each, and a line of WAL over two timelines."""
    for number, backup in enumerate((FIRST, SECOND)):
        members = data_directory(seed + number)
        members["base/5/16385"] = random.Random(seed).randbytes(2_400_000) if number else content(seed, 150_000)
        small = Cut(piece_bytes=16 * 1024, volume_bytes=64 * 1024)
        with cluster.begin(backup, workers=1, cut=THREE_CHUNKS if number else small) as writer:
            write_archives(writer, members)
            commit(writer)
    for number, backup in enumerate((OLDER_DUMP, DUMP)):
        with cluster.begin(backup, workers=1) as writer:
            for name, size in (("globals", 300), ("db-0", 20_000)):
                archive = writer.archive(name, tar=False)
                archive.write(content(seed + number, size))
                archive.close()
            commit(writer)
    for backup in (FIRST, SECOND):
        cluster.record_event(backup, "verified", at=AT)
    numbers: Sequence[tuple[int, int]] = [(1, n) for n in range(FIRST_SEGMENT, 36)] + [(2, 35), (2, LAST_SEGMENT)]
    for timeline, number in numbers:
        data = bytearray(wal_segment(timeline, number, system=cluster.system_id, seed=seed + number))
        if number == FIRST_SEGMENT + 1:
            data[64:] = random.Random(seed).randbytes(SEGMENT_BYTES - 64)
        cluster.wal.put_segment(timeline, number, data)
    last = wal_segment(2, LAST_SEGMENT + 1, system=cluster.system_id, seed=seed)
    cluster.wal.put_piece(2, LAST_SEGMENT + 1, 0, last[:PIECE_END])
    cluster.wal.put_history(2, f"1\t0/{FORK:X}\tno recovery target specified\n".encode())


def _namesake(path: str) -> str:
    """Return the path of the same object of the other backup of its kind."""
    return path.replace(SECOND, FIRST).replace(DUMP, OLDER_DUMP)


def table(done: Sequence[Case], missed: Sequence[Case]) -> str:
    """Return how many of each were done and missed: kinds down, operations with their regions across."""
    columns = [f"{operation}, {region}" for operation in IN_PLACE for region in REGIONS] + list(WHOLE)
    counts = Counter((case.kind, _column(case)) for case in done)
    lost = Counter((case.kind, _column(case)) for case in missed)
    lines = [" ".join(f"{n:>4}" for n in range(1, len(columns) + 1)).rjust(18 + 5 * len(columns))]
    for kind in KINDS:
        cells = [f"{counts[kind, c] or '-':>4}" + ("!" if lost[kind, c] else " ") for c in columns]
        lines.append(f"{kind:<19}" + "".join(cells))
    lines += [f"{number:>4}  {column}" for number, column in enumerate(columns, 1)]
    return "\n".join([*lines, f"{len(done)} corruptions, {len(missed)} missed"])


def _column(case: Case) -> str:
    return case.operation if case.region == "whole" else f"{case.operation}, {case.region}"

"""Which data key seals what: read from the headers of objects, for which no key is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from bot.model.ids import BackupId, ClusterName, SystemId, is_backup_id
from bot.repository import layout
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.envelope import HEADER_BYTES, Header
from bot.repository.stores import ObjectInfo, Store

AT_ONCE = 8
"""How many headers are asked for at once: on a cloud each is a request that mostly waits."""
STEP = 256
"""Of every so many WAL segments one is looked at; between two with different keys the border is searched."""
_NAMED = 5


@dataclass(frozen=True, slots=True)
class WalUse:
    """WAL segments of one timeline in a row that one data key seals; `since` and `until` are when they were stored, UTC."""

    cluster: ClusterName
    system_id: SystemId
    first: str
    last: str
    segments: int
    since: datetime
    until: datetime


@dataclass
class Uses:
    """What one data key seals."""

    backups: list[tuple[ClusterName, BackupId]] = field(default_factory=list)
    wal: list[WalUse] = field(default_factory=list)


def uses_of(store: Store) -> dict[str, Uses]:
    """Return what each data key seals, by key id. Reads one header for each backup, and a few for the WAL.

    A backup is sealed with one data key throughout: one process writes it. WAL is sampled, see `STEP`. What cannot be read is
    left out; finding damage is what a scrub is for.

    Raises:
        Unavailable: the storage cannot be reached.
    """
    found: dict[str, Uses] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for cluster, system_id in histories(store):
            backups = backup_ids(store, cluster, system_id)
            manifests = [layout.manifest(layout.backup(cluster, system_id, backup)) for backup in backups]
            for backup, key in zip(backups, pool.map(lambda path: header_key(store, path), manifests), strict=True):
                if key is not None:
                    found.setdefault(key, Uses()).backups.append((cluster, backup))
            for segments in timelines(store, cluster, system_id).values():

                def key_of(number: int, segments: list[ObjectInfo] = segments) -> str | None:
                    return None if segments[number].archived else header_key(store, segments[number].path)

                for key, first, last in runs(len(segments), key_of, pool.map):
                    found.setdefault(key, Uses()).wal.append(wal_use(cluster, system_id, segments[first : last + 1]))
    return found


def histories(store: Store) -> list[tuple[ClusterName, SystemId]]:
    """Return every cluster and system identifier in a repository."""
    return [
        (ClusterName(cluster), SystemId(system))
        for cluster in store.children("")
        if cluster not in {layout.KEYS, layout.CHECK}
        for system in store.children(cluster)
        if layout.is_system(system)
    ]


def backup_ids(store: Store, cluster: ClusterName, system_id: SystemId) -> list[BackupId]:
    """Return the ids of what may be a backup, oldest first, finished or not."""
    return [BackupId(name) for name in store.children(layout.backups(cluster, system_id)) if is_backup_id(name)]


def timelines(store: Store, cluster: ClusterName, system_id: SystemId) -> dict[str, list[ObjectInfo]]:
    """Return the whole WAL segments of one history by timeline, in order."""
    found: dict[str, list[ObjectInfo]] = {}
    for info in store.list(layout.wal(cluster, system_id)):
        if layout.kind_of(info.path) == "wal":
            found.setdefault(info.path.split("/")[-2], []).append(info)
    return found


def wal_use(cluster: ClusterName, system_id: SystemId, segments: Sequence[ObjectInfo]) -> WalUse:
    """Return a run of segments as one value."""
    at = [info.modified for info in segments]
    first, last = (segments[place].path.rsplit("/", 1)[1] for place in (0, -1))
    return WalUse(cluster, system_id, first, last, len(segments), min(at), max(at))


def header_key(store: Store, path: str) -> str | None:
    """Return the id of the data key an object is sealed with; None when the object is missing or its header damaged."""
    try:
        return Header.from_bytes(b"".join(store.get(path, 0, HEADER_BYTES)), path).key_id
    except (ObjectDamaged, ObjectMissing):
        return None


def runs(
    count: int,
    key_of: Callable[[int], str | None],
    each: Callable[[Callable[[int], str | None], Iterable[int]], Iterable[str | None]] = map,
) -> list[tuple[str, int, int]]:
    """Return (key, first, last) of segments in a row with one key, asking for one of every `STEP` and around borders.

    Keys change when a process starts after a rotation, so there is at most one border between two that are looked at, as good
    as always; what is said of WAL says so.
    """
    looked = sorted({*range(0, count, STEP), *([count - 1] if count else [])})
    known = dict(zip(looked, each(key_of, looked), strict=True))
    borders: list[int] = []
    for left, right in pairwise(looked):
        low, high = left, right
        while known[left] != known[right] and high - low > 1:
            middle = (low + high) // 2
            known[middle] = key_of(middle)
            low, high = (middle, high) if known[middle] == known[left] else (low, middle)
        if known[left] != known[right]:
            borders.append(high)
    starts = [0, *borders][: count or 0]
    ends = [start - 1 for start in [*borders, count]]
    return [(key, a, b) for a, b in zip(starts, ends, strict=False) if (key := known.get(a)) is not None]


def takes_along(uses: Uses | None) -> str:
    """Say in one sentence what is lost with a data key: how many backups, which, from when to when, and which WAL. Pure."""
    if uses is None or not (uses.backups or uses.wal):
        return "Nothing that is kept there was sealed with it."
    parts = []
    if uses.backups:
        ids = sorted(backup for _, backup in uses.backups)
        named = ", ".join(ids[:_NAMED]) + (f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else "")
        times = [_started(one) for one in (ids[0], ids[-1])]
        span = f"from {times[0]}" if times[0] == times[1] else f"from {times[0]} to {times[1]}"
        parts.append(f"{len(ids)} backup{'s' * (len(ids) > 1)} {span} UTC ({named})")
    for cluster in sorted({use.cluster for use in uses.wal}):
        wal = [use for use in uses.wal if use.cluster == cluster]
        since, until = min(use.since for use in wal), max(use.until for use in wal)
        count = sum(use.segments for use in wal)
        parts.append(
            f"{count} WAL segment{'s' * (count > 1)} of {cluster} stored from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
        )
    return f"It takes along {'; '.join(parts)}."


def _started(backup: str) -> str:
    at = datetime.strptime(backup.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return f"{at:%Y-%m-%d %H:%M}"

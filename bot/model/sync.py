"""What one repository of a cluster lacks that others hold, and what of that it gets. Pure.

Whether something is brought is retention's decision, asked about the repository as it would be with it: what would be removed
again at once is not brought, so nothing that retention removed comes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.model.backups import BackupSummary
from bot.model.ids import BackupId
from bot.model.keeping import Keeping
from bot.model.retained_wal import Segment, StoredWal
from bot.model.retention import Stock, decide
from bot.model.timelines import lineage
from bot.model.wal import Fork, Lsn, segment_number

TRAVELLING = frozenset({"damaged", "pinned", "unpinned"})
"""Events that speak about the backup itself, wherever it lies: people's pins, and damage that the server had.

`verified`, `copy-damaged`, `report`, `expired` and `orphaned` speak about one repository, and stay there.
"""

_EVENT = re.compile(r"^(?P<at>[0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-(?P<kind>[a-z-]+)\Z")


@dataclass(frozen=True, slots=True)
class Held:
    """What one repository holds of one system identifier.

    `events` are the names of the events beside each backup, also of those without a manifest.
    """

    repository: str
    backups: tuple[BackupSummary, ...] = ()
    wal: StoredWal = field(default_factory=lambda: StoredWal(0))
    events: Mapping[BackupId, frozenset[str]] = field(default_factory=dict)

    @property
    def ids(self) -> frozenset[BackupId]:
        """The backups that exist here."""
        return frozenset(backup.id for backup in self.backups)

    @property
    def expiring(self) -> frozenset[BackupId]:
        """The backups that retention has begun to remove here."""
        return frozenset(
            backup for backup, names in self.events.items() if any(kind_of_event(name) == "expired" for name in names)
        )


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a repository gets. `backups` in the order in which they are brought; `left` says why others are not.

    `segments` lack whole, oldest first; of those `begun` another repository has pieces that reach further.
    `events` are (backup, name) that travel and are not beside a backup that is here.
    """

    repository: str
    backups: tuple[BackupSummary, ...] = ()
    left: Mapping[BackupId, str] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    begun: tuple[Segment, ...] = ()
    histories: tuple[int, ...] = ()
    events: tuple[tuple[BackupId, str], ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the repository has all it should."""
        return not (self.backups or self.segments or self.begun or self.histories or self.events)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else decides: who reads and leased what (as in `Stock`), which timeline lives, which backups are being written."""

    stock: Stock = field(default_factory=lambda: Stock((), StoredWal(0)))
    written: frozenset[BackupId] = frozenset()


def kind_of_event(name: str) -> str:
    """Return the kind in an event's name, or nothing where it is no event's."""
    found = _EVENT.match(name)
    return found["kind"] if found else ""


def travelling(names: Iterable[str]) -> frozenset[str]:
    """Return those of a backup's events that hold wherever it lies."""
    return frozenset(name for name in names if kind_of_event(name) in TRAVELLING)


def lacking(target: Held, others: Sequence[Held], keeping: Keeping, now: datetime, known: Circumstances) -> Lacking:
    """Return what `target` lacks of what `others` hold, `others` being in the order in which they are preferred.

    1. A backup that exists elsewhere and not here, that nobody writes or removes now, and that retention would keep here.
    2. The WAL that retention would keep here, and all histories: they say where timelines came from, and are small.
    3. Events that travel, beside what is here and what is brought.
    """
    candidates, left = _candidates(target, others, known.written)
    events = _travelled([target, *others])
    here = [_as_here(backup, events) for backup in target.backups]
    coming = [_as_copied(backup, events) for backup in candidates]
    union = joined([target.wal, *(other.wal for other in others)])
    decision = decide(replace(known.stock, backups=(*here, *coming), wal=union), keeping, now)
    new = {backup.id for backup in coming}
    going = [verdict for verdict in decision.verdicts if verdict.goes and verdict.backup.id in new]
    left |= {verdict.backup.id: f"retention would remove it: {verdict.reason}" for verdict in going}
    left |= {b.id: "its own WAL is in no repository" for b in coming if b.id not in left and not has_own_wal(b, union)}
    brought = [backup for backup in coming if backup.id not in left]
    gone = set(decision.wal)
    wanted = [segment for segment in union.segments if segment not in gone]
    return Lacking(
        target.repository,
        in_order(brought),
        left,
        tuple(s for s in wanted if _whole(union, s) and not _whole(target.wal, s)),
        tuple(s for s in wanted if not _whole(union, s) and _reach(union, s) > _reach(target.wal, s)),
        tuple(sorted(set(union.histories) - set(target.wal.histories))),
        _events_lacking(target, events),
    )


def in_order(backups: Iterable[BackupSummary]) -> tuple[BackupSummary, ...]:
    """Return backups as they are brought: the newest first, since they are missed most, but parents before their children."""
    waiting = {backup.id: backup for backup in sorted(backups, key=lambda backup: backup.id, reverse=True)}
    ordered: list[BackupSummary] = []
    while waiting:
        chain = [next(iter(waiting.values()))]
        while (parent := chain[-1].parent) is not None and parent in waiting:
            chain.append(waiting[parent])
        ordered.extend(waiting.pop(backup.id) for backup in reversed(chain))
    return tuple(ordered)


def own_segments(backup: BackupSummary, wal: StoredWal) -> tuple[Segment, ...]:
    """Return the segments that a base backup cannot be restored without; none for a dump."""
    if backup.kind == "dump":
        return ()
    line, size = lineage(backup.timeline, wal.histories), wal.segment_bytes
    last = Lsn(max(backup.end_lsn - 1, backup.start_lsn))
    numbers = range(segment_number(backup.start_lsn, size), segment_number(last, size) + 1)
    return tuple(Segment(number, line.file_timeline(number, size)) for number in numbers)


def has_own_wal(backup: BackupSummary, wal: StoredWal) -> bool:
    """Say whether a backup could be restored with this WAL: a dump needs none."""
    if backup.kind == "dump":
        return True
    line = lineage(backup.timeline, wal.histories)
    stretches = line.stretches(wal.ranges, backup.segment_bytes)
    return any(stretch.covers(backup.start_lsn, backup.end_lsn) for stretch in stretches)


def joined(parts: Sequence[StoredWal]) -> StoredWal:
    """Return the WAL of several repositories as if one held it."""
    whole: dict[int, set[int]] = {}
    begun: dict[tuple[int, int], int] = {}
    stored_at: dict[int, datetime] = {}
    histories: dict[int, tuple[Fork, ...]] = {}
    for part in parts:
        for timeline, numbers in part.whole.items():
            whole.setdefault(timeline, set()).update(numbers)
        for which, reach in part.begun.items():
            begun[which] = max(reach, begun.get(which, 0))
        for timeline, at in part.stored_at.items():
            stored_at[timeline] = max(at, stored_at.get(timeline, at))
        histories = {**part.histories, **histories}
    return StoredWal(
        max((part.segment_bytes for part in parts), default=0),
        {timeline: frozenset(numbers) for timeline, numbers in whole.items()},
        {which: reach for which, reach in begun.items() if which[1] not in whole.get(which[0], ())},
        stored_at,
        histories,
    )


def _candidates(
    target: Held, others: Sequence[Held], written: frozenset[BackupId]
) -> tuple[list[BackupSummary], dict[BackupId, str]]:
    """Return the backups that exist elsewhere alone, each as its first holder lists it, and why some are not brought."""
    found: dict[BackupId, BackupSummary] = {}
    left: dict[BackupId, str] = {}
    for other in others:
        for backup in other.backups:
            if backup.id in target.ids:
                continue
            if backup.id in target.expiring:
                left[backup.id] = "retention is removing it here"
            elif backup.id in written:
                left[backup.id] = "a run is writing it"
            elif backup.id in other.expiring:
                left.setdefault(backup.id, f"retention is removing it from {other.repository}")
            elif [spoiled(one, backup.id) for one in others if backup.id in one.ids] == [True]:
                left[backup.id] = f"its copy in {other.repository} is damaged, and there is no other"
            else:
                found.setdefault(backup.id, backup)
    return list(found.values()), {name: why for name, why in left.items() if name not in found}


def spoiled(held: Held, backup: BackupId) -> bool:
    """Say whether a repository's copy of a backup is known to be damaged, and not the backup itself."""
    names = held.events.get(backup, frozenset())
    known = any(one.id == backup and one.damaged is not None for one in held.backups)
    return known and not any(kind_of_event(name) == "damaged" for name in names)


def _travelled(held: Iterable[Held]) -> dict[BackupId, frozenset[str]]:
    """Return the events of each backup that hold everywhere, wherever they were written."""
    found: dict[BackupId, frozenset[str]] = {}
    for one in held:
        for backup, names in one.events.items():
            found[backup] = found.get(backup, frozenset()) | travelling(names)
    return found


def _as_here(backup: BackupSummary, events: Mapping[BackupId, frozenset[str]]) -> BackupSummary:
    """Return a backup as it will be listed once pins from elsewhere are here: the newest word wins."""
    pinned = pinned_by(events.get(backup.id, frozenset()))
    return backup if pinned is None else replace(backup, pinned=pinned)


def _as_copied(backup: BackupSummary, events: Mapping[BackupId, frozenset[str]]) -> BackupSummary:
    """Return a backup as it will be listed once it is copied: nobody has proved the copy, and only the server's damage is in it."""
    names = events.get(backup.id, frozenset())
    damaged = any(kind_of_event(name) == "damaged" for name in names)
    copied = replace(backup, verified_at=None, damaged=(backup.damaged or "damaged on the server") if damaged else None)
    return replace(copied, pinned=bool(pinned_by(names)))


def pinned_by(names: Iterable[str]) -> bool | None:
    """Return what the newest word about a pin says; None without any."""
    said = sorted(name for name in names if kind_of_event(name) in {"pinned", "unpinned"})
    return kind_of_event(said[-1]) == "pinned" if said else None


def _events_lacking(target: Held, events: Mapping[BackupId, frozenset[str]]) -> tuple[tuple[BackupId, str], ...]:
    return tuple(
        (backup, name)
        for backup, names in sorted(events.items())
        if backup in target.ids
        for name in sorted(names - target.events.get(backup, frozenset()))
    )


def _whole(wal: StoredWal, segment: Segment) -> bool:
    return segment.number in wal.whole.get(segment.timeline, ())


def _reach(wal: StoredWal, segment: Segment) -> int:
    return wal.segment_bytes if _whole(wal, segment) else wal.begun.get((segment.timeline, segment.number), 0)

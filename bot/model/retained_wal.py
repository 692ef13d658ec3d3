"""Which WAL still serves somebody, and which may go: told apart by what could be recovered with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from bot.model.backups import BackupSummary
from bot.model.timelines import Lineage, lineage
from bot.model.wal import Fork, Lsn, WalRange, merge_ranges, segment_number, segment_start
from bot.model.window import is_usable, stretch_after

_ENDLESS = 1 << 62


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One segment as it is stored, whole or in pieces. Ordered by number: the oldest WAL first, whatever its timeline."""

    number: int
    timeline: int


@dataclass(frozen=True)
class StoredWal:
    """The WAL of one system identifier as a repository lists it.

    `whole` are segment numbers by timeline; `begun` says how many bytes the pieces of the others reach from their start.
    `stored_at` is when the newest WAL of a timeline was stored (aware UTC), `histories` its readable history files.
    """

    segment_bytes: int
    whole: Mapping[int, frozenset[int]] = field(default_factory=dict)
    begun: Mapping[tuple[int, int], int] = field(default_factory=dict)
    stored_at: Mapping[int, datetime] = field(default_factory=dict)
    histories: Mapping[int, tuple[Fork, ...]] = field(default_factory=dict)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """Every segment of which anything is stored, oldest first."""
        found = {Segment(number, timeline) for timeline, numbers in self.whole.items() for number in numbers}
        return tuple(sorted(found | {Segment(number, timeline) for timeline, number in self.begun}))

    @cached_property
    def ranges(self) -> list[WalRange]:
        """What is stored without a hole, as the fewest ranges."""
        size = self.segment_bytes
        ranges = [
            WalRange(timeline, segment_start(number, size), segment_start(number + 1, size))
            for timeline, numbers in self.whole.items()
            for number in numbers
        ]
        for (timeline, number), reach in self.begun.items():
            start = segment_start(number, size)
            ranges.append(WalRange(timeline, start, Lsn(start + reach)))
        return merge_ranges(ranges)

    @cached_property
    def timelines(self) -> frozenset[int]:
        """The timelines that any WAL or history file is stored of."""
        return frozenset(self.whole) | {timeline for timeline, _ in self.begun} | frozenset(self.histories)

    def without(self, gone: Iterable[Segment]) -> StoredWal:
        """Return what is left once these segments are removed."""
        away = {(segment.timeline, segment.number) for segment in gone}
        whole = {t: frozenset(n for n in numbers if (t, n) not in away) for t, numbers in self.whole.items()}
        begun = {key: reach for key, reach in self.begun.items() if key not in away}
        return StoredWal(
            self.segment_bytes, {t: n for t, n in whole.items() if n}, begun, self.stored_at, self.histories
        )


@dataclass(frozen=True, slots=True)
class WalLease:
    """WAL from `start` on, on the line of descent to `timeline` (0: on all), that somebody (`who`) needs until they are done."""

    who: str
    timeline: int
    start: Lsn


@dataclass(frozen=True, slots=True)
class Need:
    """Segments `first` to `last` of a timeline stay, and why."""

    timeline: int
    first: int
    last: int
    reason: str

    def covers(self, segment: Segment) -> bool:
        """Say whether a segment is among them."""
        return segment.timeline == self.timeline and self.first <= segment.number <= self.last


def anchor(
    backups: Iterable[BackupSummary], line: Lineage, ranges: Sequence[WalRange], before: datetime
) -> BackupSummary | None:
    """Return the backup that the continuous recovery window begins with: the newest that was finished by `before`.

    It has its own WAL, and lies on `line`. Where none is that old the oldest one; None where none can be recovered from.
    """
    able = [b for b in backups if is_usable(b) and stretch_after(b, line, ranges) is not None]
    old = [backup for backup in able if backup.finished_at <= before]
    if old:
        return max(old, key=lambda backup: (backup.end_lsn, backup.id))
    return min(able, key=lambda backup: (backup.end_lsn, backup.id), default=None)


def unknown_timelines(stored: StoredWal, backups: Iterable[BackupSummary]) -> frozenset[int]:
    """Return the timelines nobody can say where they came from: not the first of all, and without a history file."""
    known = stored.timelines | {backup.timeline for backup in backups}
    return frozenset(t for t in known if t > 1 and t not in stored.histories)


def living_lines(
    stored: StoredWal, backups: Sequence[BackupSummary], *, live: int | None, before: datetime
) -> list[Lineage]:
    """Return the lines of descent whose recovery window reaches past `before`: the live one, and others not old enough yet.

    A timeline that nobody knows the origin of, or the age of, is taken for alive.
    """
    known = stored.timelines | {backup.timeline for backup in backups if backup.timeline}
    alive = {max(known, default=1), live or max(known, default=1)} | unknown_timelines(stored, backups)
    for timeline in known - alive:
        heard = [b.finished_at for b in backups if b.timeline == timeline]
        if timeline in stored.stored_at:
            heard.append(stored.stored_at[timeline])
        has_wal = timeline in stored.whole or any(t == timeline for t, _ in stored.begun)
        if any(at > before for at in heard) or (has_wal and timeline not in stored.stored_at):
            alive.add(timeline)
    return [lineage(timeline, stored.histories) for timeline in sorted(alive)]


def needs(
    stored: StoredWal,
    kept: Sequence[BackupSummary],
    *,
    live: int | None,
    before: datetime,
    leases: Iterable[WalLease] = (),
) -> list[Need]:
    """Return which WAL stays for what. `kept` are the backups that stay, `before` is where the WAL window begins.

    1. what each kept base backup needs to be restored at all: from its start to its end;
    2. the continuous window of each line that lives, from its first backup on;
    3. what is leased, and everything newer;
    4. the end of each timeline;
    5. whatever a timeline of unknown origin may have grown out of.
    """
    size = stored.segment_bytes
    found = [
        need
        for backup in kept
        if backup.kind != "dump" and backup.timeline
        for need in _along(
            lineage(backup.timeline, stored.histories),
            backup.start_lsn,
            Lsn(max(backup.end_lsn - 1, backup.start_lsn)),
            size,
            f"backup {backup.id} needs it",
        )
    ]
    for line in living_lines(stored, kept, live=live, before=before):
        first = anchor(kept, line, stored.ranges, before)
        why = f"the recovery window begins with {first.id}" if first else "no base backup here leads to it"
        found += _along(line, first.start_lsn if first else Lsn(0), None, size, why)
    for lease in leases:
        for timeline in [lease.timeline] if lease.timeline else sorted(stored.timelines):
            found += _along(lineage(timeline, stored.histories), lease.start, None, size, f"{lease.who} needs it")
    for timeline in stored.timelines:
        last = max((s.number for s in stored.segments if s.timeline == timeline), default=None)
        if last is not None:
            found.append(Need(timeline, last, last, f"timeline {timeline} ends with it"))
    for unknown in unknown_timelines(stored, kept):
        why = f"the history file of timeline {unknown} is missing, which may have grown out of it"
        found += [Need(timeline, 0, _ENDLESS, why) for timeline in stored.timelines if timeline < unknown]
    return found


def removable(stored: StoredWal, needed: Sequence[Need]) -> tuple[Segment, ...]:
    """Return the segments that serve nobody, oldest first."""
    by_timeline: dict[int, list[Need]] = {}
    for need in needed:
        by_timeline.setdefault(need.timeline, []).append(need)
    return tuple(s for s in stored.segments if not any(n.covers(s) for n in by_timeline.get(s.timeline, ())))


def _along(line: Lineage, start: Lsn, last: Lsn | None, size: int, reason: str) -> list[Need]:
    """Return the segments of a line from `start` to the one that holds the byte `last` (None: to its end)."""
    until = _ENDLESS if last is None else segment_number(last, size)
    found = []
    for leg in line.legs:
        first = max(segment_number(leg.start, size), segment_number(start, size))
        end = min(segment_number(leg.end, size), until)
        if first <= end:
            found.append(Need(leg.timeline, first, end, reason))
    return found

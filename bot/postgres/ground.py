"""What a target is resolved on: usable backups and complete WAL along one line of descent, and what can be reached from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from bot.errors import Unreachable
from bot.model.backups import BackupSummary
from bot.model.targets import Commit
from bot.model.timelines import Lineage, Stretch
from bot.model.wal import Lsn, segment_number, segment_start
from bot.model.wal_pages import Placed
from bot.model.window import is_usable
from bot.postgres.wal_records import Record, TransactionEnd, WalEvent


class Wal(Protocol):
    """The WAL along one line of descent; `WalReader` is one."""

    line: Lineage
    stretches: list[Stretch]
    segment_bytes: int

    def events(self, start: Lsn, end: Lsn) -> Iterator[WalEvent]:
        """Yield what matters among the records from `start` that end at or before `end`, in WAL order."""
        ...

    def records(self, start: Lsn, end: Lsn, *, rmgrs: Iterable[str] = ()) -> Iterator[Record]:
        """Yield pg_waldump's records, likewise."""
        ...

    def record_from(self, lsn: Lsn, end: Lsn) -> Placed | None:
        """Return the first whole record that starts at or after `lsn` and ends at or before `end`."""
        ...

    def end_of_records(self, start: Lsn, end: Lsn) -> Lsn:
        """Return the end of the last whole record before `end`, at least `start`."""
        ...


@dataclass(frozen=True, slots=True)
class Zone:
    """WAL [start, end) of one stretch that recoveries from `backup` reach first; without one, none reaches it."""

    backup: BackupSummary | None
    stretch: Stretch
    start: Lsn
    end: Lsn


class Ground:
    """Backups (usable ones, oldest end first) and WAL; `now` and `complete_until` are aware UTC.

    `complete_until`: everything the server had written by then is in the last stretch; None when nobody knows.
    """

    def __init__(
        self, candidates: Iterable[BackupSummary], wal: Wal, *, now: datetime, complete_until: datetime | None
    ) -> None:
        self.wal = wal
        self.now = now
        self.complete_until = complete_until
        sound = [b for b in candidates if is_usable(b) and wal.line.holds(b.timeline, b.start_lsn, b.end_lsn)]
        self.backups = tuple(sorted((b for b in sound if self.stretch_of(b)), key=lambda b: (b.end_lsn, b.id)))

    def stretch_of(self, backup: BackupSummary) -> Stretch | None:
        """Return the stretch that holds a backup's own WAL."""
        return next((s for s in self.wal.stretches if s.covers(backup.start_lsn, backup.end_lsn)), None)

    def stretch_at(self, lsn: Lsn) -> Stretch | None:
        """Return the stretch in which everything before `lsn` is, as far as it starts; the last of two that meet there."""
        return next((s for s in reversed(self.wal.stretches) if s.start < lsn <= s.end), None)

    def choose(self, lsn: Lsn) -> BackupSummary | None:
        """Return the newest backup from which replay reaches `lsn`: it ended at or before it, and no WAL is missing between."""
        for backup in reversed(self.backups):
            stretch = self.stretch_of(backup)
            if stretch and backup.end_lsn <= lsn <= stretch.end:
                return backup
        return None

    def zones(self) -> list[Zone]:
        """Return all WAL, newest zone first, cut where backups end."""
        found = []
        for stretch in self.wal.stretches:
            inside = [b for b in self.backups if self.stretch_of(b) == stretch]
            starts = [stretch.start, *(b.end_lsn for b in inside)]
            ends = [*starts[1:], stretch.end]
            owners = [None, *inside]
            zones = zip(owners, starts, ends, strict=True)
            found += [Zone(owner, stretch, start, end) for owner, start, end in zones if start < end]
        return found[::-1]

    def ends(self, start: Lsn, end: Lsn) -> Iterator[Commit]:
        """Yield commits and aborts in WAL order."""
        return (e.commit for e in self.wal.events(start, end) if isinstance(e, TransactionEnd))

    def last_commit(self, floor: Lsn, lsn: Lsn) -> Commit | None:
        """Return the last commit before `lsn` and after `floor`, looking back further and further."""
        size, end, width = self.wal.segment_bytes, lsn, 1
        while end > floor:
            start = max(floor, segment_start(max(segment_number(Lsn(end - 1), size) - width + 1, 0), size))
            commits = [c for c in self.ends(start, lsn) if not c.aborted and c.lsn < end]
            if commits:
                return commits[-1]
            end, width = start, width * 4
        return None

    def next_end(self, stretch: Stretch, lsn: Lsn) -> Commit | None:
        """Return the first commit or abort from `lsn` on; None when the next 16 segments hold none."""
        return next(self.ends(lsn, min(stretch.end, Lsn(lsn + 16 * self.wal.segment_bytes))), None)

    def reached(self, stretch: Stretch) -> datetime | None:
        """Return the time of the last commit in `stretch` that can be recovered, or when its newest backup finished."""
        inside = [b for b in self.backups if self.stretch_of(b) == stretch]
        if not inside:
            return None
        last = self.last_commit(inside[0].end_lsn, stretch.end)
        times = [b.finished_at for b in inside] + ([last.at] if last else [])
        return max(times)

    def first_reachable(self, after: datetime | None = None) -> datetime | None:
        """Return when the oldest backup finished (of those after `after`), rounded up to what people can type."""
        times = [b.finished_at for b in self.backups if after is None or b.finished_at > after]
        return whole_second(min(times), self.complete_until) if times else None

    def nearest(self, *times: datetime | None) -> tuple[datetime, ...]:
        """Return the known ones of `times`, in order."""
        return tuple(sorted({at for at in times if at is not None}))

    def no_backup(self) -> Unreachable:
        """Say that nothing can be recovered at all."""
        return Unreachable(
            "There is no base backup to start from.",
            hint="Take one: `pitstop backup base CLUSTER`.",
            code="no-backup",
        )

    def before_first(self, what: str) -> Unreachable:
        """Say that `what` lies before the oldest backup's end."""
        return Unreachable(
            f"{what} lies before the end of the oldest usable base backup.",
            hint="Nothing older can be recovered. Ask again, with the nearest time?",
            code="before-first-backup",
            nearest=self.nearest(self.first_reachable()),
        )


def whole_second(at: datetime, latest: datetime | None) -> datetime:
    """Round `at` up to a whole second, which people can type, unless that is later than `latest` or nothing is known."""
    rounded = at.replace(microsecond=0) + timedelta(seconds=1) if at.microsecond else at
    return rounded if latest is not None and rounded <= latest else at

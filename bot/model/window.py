"""The recovery window: the ranges of time a cluster can be taken back to, with holes where WAL or a backup is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.model.backups import BackupSummary
from bot.model.timelines import Lineage, Stretch, lineage
from bot.model.wal import Fork, Lsn, WalRange


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Every time from `start` to `end`, both included, aware UTC."""

    start: datetime
    end: datetime

    def as_json(self) -> dict[str, str]:
        """Return `{"from", "to"}` as ISO times."""
        return {"from": self.start.isoformat(), "to": self.end.isoformat()}

    @classmethod
    def from_json(cls, data: Mapping[str, str]) -> TimeRange:
        """Read what `as_json` wrote."""
        return cls(datetime.fromisoformat(data["from"]), datetime.fromisoformat(data["to"]))


@dataclass(frozen=True, slots=True)
class KnownTime:
    """All that was committed by `at` (aware UTC) on `timeline` lies before `lsn`.

    Sources: a commit record's own time and end; a receiver that had everything the server had written.
    """

    timeline: int
    lsn: Lsn
    at: datetime


def recovery_window(
    backups: Iterable[BackupSummary],
    ranges: Sequence[WalRange],
    histories: Mapping[int, tuple[Fork, ...]],
    times: Iterable[KnownTime],
    *,
    timeline: int | None = None,
) -> list[TimeRange]:
    """Return the ranges of time that can be recovered, oldest first, as few as possible. Pure.

    Each sound base backup opens a range when it finished; it lasts until the latest known time whose WAL follows the backup
    without a hole. A backup without its own WAL opens none. `timeline` is the one the cluster lives on; by default the
    newest that anything is known of.
    """
    usable = [backup for backup in backups if is_usable(backup)]
    line = lineage(timeline or live_timeline(usable, ranges, histories), histories)
    known = list(times)
    found = []
    for backup in usable:
        stretch = stretch_after(backup, line, ranges)
        if stretch is not None:
            found.append(TimeRange(backup.finished_at, _reach(backup, stretch, line, known)))
    return merged(found)


def live_timeline(
    backups: Iterable[BackupSummary], ranges: Iterable[WalRange], histories: Mapping[int, tuple[Fork, ...]]
) -> int:
    """Return the newest timeline anything is known of; 1 when nothing is. Pure."""
    known = {backup.timeline for backup in backups} | {piece.timeline for piece in ranges} | set(histories)
    return max(known, default=1)


def is_usable(backup: BackupSummary) -> bool:
    """Say whether a backup can be the start of a recovery: a full base backup that is not damaged."""
    return backup.kind == "base" and backup.damaged is None


def stretch_after(backup: BackupSummary, line: Lineage, ranges: Iterable[WalRange]) -> Stretch | None:
    """Return the WAL that follows from `backup`'s start without a hole, or None when not even its own WAL is complete."""
    if not line.holds(backup.timeline, backup.start_lsn, backup.end_lsn):
        return None
    for stretch in line.stretches(ranges, backup.segment_bytes):
        if stretch.covers(backup.start_lsn, backup.end_lsn):
            return stretch
    return None


def _reach(backup: BackupSummary, stretch: Stretch, line: Lineage, times: Iterable[KnownTime]) -> datetime:
    """Return the latest time known to be covered by `stretch`, at least the end of the backup itself."""
    covered = [
        known.at
        for known in times
        if backup.end_lsn <= known.lsn <= stretch.end and line.holds(known.timeline, known.lsn, known.lsn)
    ]
    return max([backup.finished_at, *covered])


def merged(ranges: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the same times in as few ranges as possible, oldest first. Pure."""
    found: list[TimeRange] = []
    for piece in sorted(ranges, key=lambda r: (r.start, r.end)):
        if found and piece.start <= found[-1].end:
            found[-1] = TimeRange(found[-1].start, max(found[-1].end, piece.end))
        else:
            found.append(piece)
    return found

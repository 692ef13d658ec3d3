"""WAL that should be stored and is not: holes in the recovery window, and what older base backups need themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.model.backups import BackupSummary
from bot.model.retained_wal import StoredWal, anchor
from bot.model.timelines import Lineage, lineage
from bot.model.wal import Lsn, history_name, segment_name, segment_number
from bot.model.window import is_usable, live_timeline
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from jobs.retention.stock import stored_wal
from jobs.wal_check import holes_after


def missing_segments(
    history: ClusterRepository, backups: Sequence[BackupSummary], live: int | None, before: datetime
) -> dict[str, str]:
    """Return the paths of segments that are missing, each with a sentence. One listing; a hole may be closed a moment later.

    Raises:
        Unavailable: the repository is away.
    """
    stored = stored_wal(history.wal, history.wal.inventory())
    named = live if live in stored.timelines else live_timeline(backups, stored.ranges, stored.histories)
    line = lineage(named or 1, stored.histories)
    found = _missing_history(history, stored, backups, named or 1)
    for start, end, why in _holes(stored, [b for b in backups if is_usable(b)], line, before):
        size = stored.segment_bytes
        for number in range(segment_number(start, size), segment_number(Lsn(max(start, end - 1)), size) + 1):
            name = segment_name(line.file_timeline(number, size), number, size)
            folder = layout.timeline(layout.wal(history.name, history.system_id), line.file_timeline(number, size))
            if f"{folder}/{name}" not in found and not _whole(stored, line, number):
                found[f"{folder}/{name}"] = f"The WAL segment {name} is missing: {why}."
    return found


def _missing_history(
    history: ClusterRepository, stored: StoredWal, backups: Sequence[BackupSummary], timeline: int
) -> dict[str, str]:
    """Name the history file of the live timeline where it is gone: without it nothing older leads there."""
    older = any(backup.timeline < timeline for backup in backups) or any(t < timeline for t in stored.timelines)
    if timeline == 1 or timeline in stored.histories or not older:
        return {}
    path = f"{layout.timeline(layout.wal(history.name, history.system_id), timeline)}/{history_name(timeline)}"
    if history.repository.store.exists(path):
        return {}  # it is there and cannot be read: reading it says so
    return {
        path: f"The history file {history_name(timeline)} is missing: it says what timeline {timeline} goes on from."
    }


def _holes(
    stored: StoredWal, usable: list[BackupSummary], line: Lineage, before: datetime
) -> list[tuple[Lsn, Lsn, str]]:
    stretches = line.stretches(stored.ranges, stored.segment_bytes)
    end = max((stretch.end for stretch in stretches), default=Lsn(0))
    holes = []
    for backup in usable:
        on_line = line.holds(backup.timeline, backup.start_lsn, backup.end_lsn)
        if on_line and not any(s.covers(backup.start_lsn, backup.end_lsn) for s in stretches):
            own = holes_after(backup.start_lsn, stretches, backup.end_lsn, stored.segment_bytes)
            holes += [
                (a, min(b, backup.end_lsn), f"the backup {backup.id} cannot be restored without it") for a, b in own
            ]
    first = anchor(usable, line, stored.ranges, before)
    if first is not None:
        after = holes_after(first.start_lsn, stretches, end, stored.segment_bytes)
        holes += [(a, b, "the recovery window has a hole there") for a, b in after]
    return [(start, stop, why) for start, stop, why in holes if start < stop]


def _whole(stored: StoredWal, line: Lineage, number: int) -> bool:
    return number in stored.whole.get(line.file_timeline(number, stored.segment_bytes), ())

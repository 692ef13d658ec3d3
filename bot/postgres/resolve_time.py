"""Find the record before which a recovery to a time stops."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bot.errors import Unreachable
from bot.model.backups import BackupSummary
from bot.model.timelines import Stretch
from bot.model.wal import Lsn, segment_number, segment_start
from bot.postgres.ground import Ground
from bot.postgres.resolve_named import Found

Passed = Callable[[datetime], bool]


def find_time(ground: Ground, at: datetime, *, before: bool) -> Found:
    """Return the first commit or abort in WAL order later than `at` (with `before`: at or later).

    Commit times are not monotonic, so a backup serves only if nothing later than `at` ended before the backup did.

    Raises:
        Unreachable: `future`, `before-first-backup`, `in-a-hole`, `not-durable-yet`.
    """
    if at > ground.now:
        raise Unreachable(
            f"{at.isoformat()} is in the future; it is now {ground.now.isoformat(timespec='seconds')}.",
            hint="Did you mean another day, or `latest`?",
            code="future",
            nearest=ground.nearest(ground.complete_until or ground.reached(ground.wal.stretches[-1])),
        )

    def passed(time: datetime) -> bool:
        return time >= at if before else time > at

    backup = _last_before(ground, at, passed)
    if backup is None:
        raise ground.before_first(at.isoformat())
    stretch = ground.stretch_of(backup)
    assert stretch is not None
    last: datetime | None = None
    for end in ground.ends(backup.end_lsn, stretch.end):
        if passed(end.at):
            return Found(end.lsn, what=at.isoformat())
        last = end.at if last is None else max(last, end.at)
    return _after_everything(ground, at, stretch, last, before=before)


def _last_before(ground: Ground, at: datetime, passed: Passed) -> BackupSummary | None:
    """Return the newest backup that was finished by `at` and holds nothing later, judged by the WAL just before its end."""
    for backup in reversed(ground.backups):
        if backup.finished_at <= at:
            ends = ground.ends(_look_back(ground, backup), backup.end_lsn)
            if not any(passed(end.at) for end in ends):
                return backup
    return None


def _look_back(ground: Ground, backup: BackupSummary) -> Lsn:
    stretch, size = ground.stretch_of(backup), ground.wal.segment_bytes
    assert stretch is not None
    return max(stretch.start, segment_start(max(segment_number(backup.start_lsn, size) - 1, 0), size))


def _after_everything(ground: Ground, at: datetime, stretch: Stretch, last: datetime | None, *, before: bool) -> Found:
    """Nothing ended later than `at` in this stretch: that is everything if no WAL can be missing, else nobody knows."""
    newest = stretch == ground.wal.stretches[-1]
    if newest and ground.complete_until is not None and at <= ground.complete_until:
        note = f"Nothing ended between {last.isoformat()} and then." if last else "Nothing ended since the backup."
        return Found(stretch.end, to_end=True, what=at.isoformat(), notes=(note,))
    reached = ground.reached(stretch)
    if not before and ((reached is not None and at <= reached) or (last is not None and at <= last)):
        # Up to the time that is offered as the nearest one, and that lists show: all that is known up to it is there.
        note = f"WAL is missing or not here yet from {stretch.end} on; nothing known up to then is left out."
        return Found(stretch.end, to_end=True, what=at.isoformat(), notes=(note,))
    if not newest:
        raise _in_a_hole(ground, at, stretch)
    covered = ground.complete_until or ground.reached(stretch)
    raise Unreachable(
        f"The WAL here is known to be complete only until {covered.isoformat() if covered else 'its last commit'}; "
        f"what was committed from then until {at.isoformat()} may be missing.",
        hint="Is the receiver running (`pitstop wal status`)? `latest` takes everything there is.",
        code="not-durable-yet",
        nearest=ground.nearest(covered),
    )


def _in_a_hole(ground: Ground, at: datetime, stretch: Stretch) -> Unreachable:
    return Unreachable(
        f"{at.isoformat()} lies in a hole: WAL is missing there.",
        hint="Ask again, with one of the nearest times?",
        code="in-a-hole",
        nearest=ground.nearest(ground.reached(stretch), ground.first_reachable(after=at)),
    )

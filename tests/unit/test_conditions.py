"""What the monitor makes of what it sees: sizes, ages, lags and forecasts, whatever their numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.model.alerts import Concern, Severity
from bot.model.backups import BackupSummary
from bot.model.conditions.backups import Kind, backup_age, backup_size
from bot.model.conditions.disks import Disk, disk_full, full_at
from bot.model.conditions.wal import Durability, Receiver, Slot, receiver_down, slots, wal_lag
from bot.model.ids import BackupId
from bot.model.wal import Lsn
from tests.sweeps import examples
from tests.unit.card_rows import Rows
from tests.unit.desk_world import NOON

HOUR = timedelta(hours=1)
_MANY = examples(150)


def backup(age: timedelta, size: int, **changes: Any) -> BackupSummary:
    """Return a sound base backup begun `age` before noon."""
    at = NOON - age
    made = replace(Rows(1).backup(), id=BackupId(f"b{at.timestamp():.0f}"), kind="base", damaged=None, started_at=at)
    return replace(made, finished_at=at, bytes_read=size, bytes_stored=size, **changes)


def severities(found: list[Concern]) -> list[Severity]:
    """Return how severe what was found is."""
    return [concern.severity for concern in found]


@_MANY
@given(age=st.integers(0, 200), every=st.integers(1, 200), most=st.integers(1, 100), running=st.booleans())
def test_age_is_told_past_the_limit_and_pages_past_twice_it(age: int, every: int, most: int, running: bool) -> None:
    """The limit is the longer of the threshold and the schedule's own interval, half as much again while the next is being made."""
    limit = max(most, every)
    kind = Kind("slips", "base", "base-backup", NOON - HOUR * 999, HOUR * every, running)
    found = severities(backup_age(kind, [backup(HOUR * age, 10)], most=HOUR * most, now=NOON))
    late = age > (limit * 1.5 if running else limit)
    assert found == ([Severity.PAGE if age > 2 * limit else Severity.WARN] if late else [])


def test_a_backup_that_never_came_counts_from_when_it_was_scheduled() -> None:
    """A new cluster owes nothing; a day and an hour later it does, and a damaged backup pays nothing."""
    kind = Kind("slips", "base", "base-backup", NOON - HOUR * 25, HOUR * 24, running=False)
    damaged = backup(HOUR, 10, damaged="page 3")
    assert severities(backup_age(kind, [damaged], most=HOUR * 24, now=NOON)) == [Severity.WARN]
    fresh = replace(kind, counted_since=NOON - HOUR)
    assert backup_age(fresh, [], most=HOUR * 24, now=NOON) == []


@_MANY
@given(before=st.lists(st.integers(20 << 20, 1 << 40), max_size=9), newest=st.integers(0, 1 << 42))
def test_a_size_is_strange_only_against_history_or_floor(before: list[int], newest: int) -> None:
    """Below the floor it pages; with fewer than three before it nothing else is said; else half to double is usual."""
    made = [backup(HOUR * (10 - number), size) for number, size in enumerate([*before, newest])]
    found = backup_size("slips", "base", made, change=0.5, floor_bytes=None)
    if newest < 16 << 20:
        assert severities(found) == [Severity.PAGE]
    elif len(before) < 3:
        assert found == []
    else:
        last = sorted(before[-7:])
        middle = len(last) // 2
        usual = last[middle] if len(last) % 2 else (last[middle - 1] + last[middle]) / 2
        assert bool(found) == (not usual * 0.5 <= newest <= usual * 2)
        assert all(concern.occurrence == made[-1].id for concern in found)


def test_the_smallest_cluster_there_is_trips_no_floor() -> None:
    """An empty cluster reads more than 20 MB and an empty dump more than 1 kB; the strategy's 100 MiB is there to be set."""
    empty = backup(HOUR, 23 << 20)
    assert backup_size("slips", "base", [empty], change=0.5, floor_bytes=None) == []
    assert (
        backup_size("slips", "dump", [replace(empty, kind="dump", bytes_read=3000)], change=0.5, floor_bytes=None) == []
    )
    assert severities(backup_size("slips", "base", [empty], change=0.5, floor_bytes=100 << 20)) == [Severity.PAGE]


@_MANY
@given(durable=st.integers(0, 100), server=st.integers(0, 100), minutes=st.none() | st.integers(-10, 600))
def test_what_is_durable_cannot_be_lost(durable: int, server: int, minutes: int | None) -> None:
    """On an idle cluster the loss is nothing, however long ago the last commit was; else it is told by both thresholds."""
    until = None if minutes is None else NOON - timedelta(minutes=minutes)
    held = Durability("slips", "local", Lsn(durable), Lsn(server), until)
    found = severities(wal_lag([held], target=HOUR, maximum=4 * HOUR, now=NOON))
    if durable >= server or minutes is None or minutes <= 60:
        assert found == []
    else:
        assert found == [Severity.PAGE if minutes > 240 else Severity.WARN]


@_MANY
@given(
    safe=st.none() | st.integers(-100, 100), kept=st.integers(0, 100), ours=st.booleans(),
    status=st.sampled_from(["reserved", "extended", "unreserved", "lost", "unknown"]),
)  # fmt: skip
def test_slots_in_danger(safe: int | None, kept: int, ours: bool, status: str) -> None:
    """Ours page when lost or about to be; somebody else's are told only for what they keep on the server."""
    found = slots("slips", [Slot("s", ours, True, status, safe, kept)], expected=(), safe_bytes=50, retained_bytes=80)
    if ours and status in {"lost", "unreserved"}:
        assert severities(found) == [Severity.PAGE]
    else:
        tight = ours and safe is not None and safe < 50 and kept > 0
        assert severities(found) == ([Severity.WARN] if tight or kept > 80 else [])


@_MANY
@given(
    start=st.integers(0, 10**12), per_hour=st.integers(0, 10**9), hours=st.integers(7, 200), free=st.integers(1, 10**12)
)
def test_a_straight_line_is_followed(start: int, per_hour: int, hours: int, free: int) -> None:
    """A disk that grows steadily is full when its room divided by its growth says so; one that does not grow never is."""
    samples = [(NOON - HOUR * (hours - n), start + per_hour * n) for n in range(hours + 1)]
    when = full_at(Disk("spool", "/", 10**13, free, samples), NOON)
    if per_hour == 0 or free / per_hour >= 24 * 365 * 10:
        assert when is None
    else:
        assert when is not None
        assert abs((when - NOON) / HOUR - free / per_hour) <= 0.01 * free / per_hour + 1


def test_too_little_is_known_to_foretell() -> None:
    """An hour of samples says nothing about the week; a full disk is told all the same."""
    samples = [(NOON - HOUR + timedelta(minutes=n), n * 10**9) for n in range(60)]
    disk = Disk("spool", "/", 10**12, 2 * 10**10, samples)
    assert full_at(disk, NOON) is None
    assert severities(disk_full([disk], free_share=0.1, full_within=HOUR, now=NOON)) == [Severity.PAGE]


def test_a_receiver_is_judged_after_a_minute_only() -> None:
    """Just started or just gone nothing is said either way: it restarts by itself."""
    minute = timedelta(minutes=1)
    for alive, down, wanted in (
        (timedelta(seconds=59), None, (0, False)),
        (minute, None, (0, True)),
        (None, timedelta(seconds=59), (0, False)),
        (None, minute, (1, True)),
    ):
        found, judgeable = receiver_down(Receiver("slips", alive, down), after=minute)
        assert (len(found), judgeable) == wanted

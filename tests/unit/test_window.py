"""The recovery window: only what a backup and unbroken WAL really reach, holes included."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.wal import Fork, Lsn, WalRange
from bot.model.window import KnownTime, TimeRange, recovery_window

START = datetime(2026, 11, 22, tzinfo=UTC)


def minute(n: int) -> datetime:
    """Return the time `n` minutes after the start; in these tests WAL byte `n` is written at that time."""
    return START + timedelta(minutes=n)


def backup(start: int, end: int, *, timeline: int = 1, damaged: str | None = None) -> BackupSummary:
    """Return a base backup whose WAL is bytes `start` to `end`."""
    return BackupSummary(
        id=BackupId(f"20261122T{start // 60:02d}{start % 60:02d}00Z-base-{start:04x}"), kind="base", cluster=ClusterName("slips"),
        system_id=SystemId("1"), started_at=minute(start), finished_at=minute(end), timeline=timeline, start_lsn=Lsn(start),
        end_lsn=Lsn(end), bytes_read=1, bytes_stored=1, server_version=160002, segment_bytes=1, manifest_sha256="",
        damaged=damaged,
    )  # fmt: skip


def known(*minutes: int, timeline: int = 1) -> list[KnownTime]:
    """Return known times at which WAL reached that many bytes."""
    return [KnownTime(timeline, Lsn(n), minute(n)) for n in minutes]


def window(*ranges: tuple[int, int]) -> list[TimeRange]:
    """Return ranges of minutes."""
    return [TimeRange(minute(a), minute(b)) for a, b in ranges]


def wal(*ranges: tuple[int, int], timeline: int = 1) -> list[WalRange]:
    """Return ranges of bytes."""
    return [WalRange(timeline, Lsn(a), Lsn(b)) for a, b in ranges]


def test_from_the_end_of_a_backup_to_the_last_known_time() -> None:
    """One backup and unbroken WAL: from its end, not its start, to the latest time known to be covered."""
    assert recovery_window([backup(10, 20)], wal((5, 100)), {}, known(50, 90, 120)) == window((20, 90))


def test_without_backups_or_their_wal_there_is_none() -> None:
    """No backup, a damaged one, and one whose own WAL is not complete open no range."""
    times = known(50)
    assert recovery_window([], wal((0, 100)), {}, times) == []
    assert recovery_window([backup(10, 20, damaged="block 7")], wal((0, 100)), {}, times) == []
    assert recovery_window([backup(10, 20)], wal((0, 15), (16, 100)), {}, times) == []
    assert recovery_window([backup(10, 20)], wal((11, 100)), {}, times) == []


def test_a_hole_in_the_wal_is_a_hole_in_the_window() -> None:
    """After a hole nothing is reachable until a backup that was taken behind it."""
    found = recovery_window([backup(10, 20), backup(70, 75)], wal((5, 40), (45, 100)), {}, known(30, 40, 50, 90))
    assert found == window((20, 40), (75, 90))


def test_overlapping_ranges_are_one() -> None:
    """Two backups on one unbroken WAL make one range."""
    assert recovery_window([backup(10, 20), backup(50, 60)], wal((0, 100)), {}, known(90)) == window((20, 90))


def test_a_backup_with_its_own_wal_alone_is_one_moment() -> None:
    """What is left of an older backup (its own WAL) can be restored to its end, and no later."""
    assert recovery_window([backup(10, 20)], wal((10, 20)), {}, known(15)) == window((20, 20))


def test_the_window_follows_a_promotion_and_not_an_overrun() -> None:
    """Over a fork the window goes on; what an old primary wrote past it is not in it."""
    histories = {2: (Fork(1, Lsn(50)),)}
    ranges = [*wal((0, 80)), *wal((50, 120), timeline=2)]
    times = [*known(40, 70), *known(60, 110, timeline=2)]
    assert recovery_window([backup(10, 20)], ranges, histories, times) == window((20, 110))
    assert recovery_window([backup(10, 20)], wal((0, 80)), histories, known(40, 70)) == window((20, 40))
    assert recovery_window([backup(55, 60)], ranges, histories, times) == [], (
        "a backup of the old primary past the fork"
    )


@given(
    backups=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 10), st.booleans()), max_size=5),
    found=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40)), max_size=5),
    times=st.lists(st.integers(0, 130), max_size=8),
)
def test_every_time_in_the_window_is_covered(
    backups: list[tuple[int, int, bool]], found: list[tuple[int, int]], times: list[int]
) -> None:
    """For every minute of the window there is a sound backup that ended before it, and WAL from its start to that minute."""
    summaries = [replace(backup(s, s + n), damaged="x" if bad else None) for s, n, bad in backups]
    ranges = wal(*((s, s + n) for s, n in found))
    held = {at for piece in ranges for at in range(piece.start, piece.end)}
    parts = recovery_window(summaries, ranges, {}, known(*times))
    for part in parts:
        ends = [int((at - START) / timedelta(minutes=1)) for at in (part.start, part.end)]
        for n in range(ends[0], ends[1] + 1):
            assert any(
                b.damaged is None and b.end_lsn <= n and all(at in held for at in range(b.start_lsn, n))
                for b in summaries
            )
    assert all(a.end < b.start for a, b in itertools.pairwise(parts))

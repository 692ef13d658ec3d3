"""What a runbook says of how far back one can go, and what of it changes when nothing happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.ledger import wal_status
from bot.ledger.wal_status import WalStatus
from bot.model.runbook import how_far_back
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.model.window import TimeRange
from jobs.runbook import keep_runbook
from tests.unit.repository.sample import NAME, SYSTEM
from tests.unit.retention_world import World, day

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def hours(start: float, end: float) -> TimeRange:
    """Return a range around noon."""
    return TimeRange(NOON + timedelta(hours=start), NOON + timedelta(hours=end))


def test_how_far_back() -> None:
    """Times of several repositories are one range where they meet; holes are told, and what is true without any range."""
    told = how_far_back([hours(-3, 1), hours(-5, -1), hours(0, 2)], based=True, dumped=True, streamed=True)
    assert told == "any time since 2026-11-24 07:00:00 UTC"
    holed = how_far_back([hours(0, 2), hours(-5, -4), hours(-3, -1)], based=True, dumped=False, streamed=True)
    assert holed == (
        "any time since 2026-11-24 12:00:00 UTC; before that from 2026-11-24 07:00:00 UTC to 2026-11-24 08:00:00 UTC,"
        " from 2026-11-24 09:00:00 UTC to 2026-11-24 11:00:00 UTC"
    )
    many = how_far_back([hours(n, n + 0.5) for n in range(6)], based=True, dumped=False, streamed=True)
    assert many.count(" to ") == 3
    assert many.endswith(", and earlier")
    without = [
        how_far_back([], based=based, dumped=dumped, streamed=streamed)
        for based, dumped, streamed in (
            (True, True, True),
            (True, True, False),
            (False, True, True),
            (False, False, False),
        )
    ]
    assert without == [
        "to the end of a base backup; what WAL adds is not worked out yet",
        "to the end of a base backup; WAL has not been streamed",
        "to a dump; there is no base backup",
        "nothing yet; there is no base backup",
    ]


def test_a_backup_without_a_window(tmp_path: Path) -> None:
    """With a backup and no WAL the page says to where it leads; the end of the window, which moves on, writes no new page."""
    world = World(tmp_path)
    assert "| how far back | nothing yet; there is no base backup |" in keep_runbook(
        world.config, world.ledger, NAME, day(0)
    )
    world.days(1)
    world.now = day(1)
    world.run(Job.RETENTION)
    first = keep_runbook(world.config, world.ledger, NAME, day(1))
    assert "| how far back | to the end of a base backup; WAL has not been streamed |" in first
    pages = []
    for hour in (1, 2):
        window = ({"from": day(0).isoformat(), "to": (day(1) + timedelta(hours=hour)).isoformat()},)
        status = WalStatus(NAME, "local", SYSTEM, 1, Lsn(3), Lsn(2), Lsn(4), window, day(1))
        with world.ledger.transaction() as tx:
            wal_status.put(tx, status)
        pages.append(keep_runbook(world.config, world.ledger, NAME, day(1)))
    assert pages[0] == pages[1]
    assert "| how far back | any time since 2026-01-01 02:00:00 UTC |" in pages[0]

"""What runs when: the next run of each job, and what a pause does to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bot.model.ids import ClusterName
from bot.model.pauses import PAUSED_JOBS, Pause
from bot.model.people import Person
from bot.model.runs import Job
from bot.model.schedule import Cron
from bot.model.timetable import timetable

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
CRONS = [(Job.BASE_BACKUP, Cron.parse("0 2 * * *")), (Job.WAL_CHECK, Cron.parse("0 * * * *"))]
PAUSE = Pause("p", ClusterName("slips"), Person("T1", "UALICE"), "Alice", NOW, NOW + timedelta(hours=12))


def test_jobs_come_in_the_order_of_their_next_run() -> None:
    """In Bangkok 02:00 is 19:00 UTC of the day before, so the hourly check comes first."""
    lines = timetable(CRONS, ZoneInfo("Asia/Bangkok"), last={}, pause=None, now=NOW)
    assert [(line.job, line.next_at.isoformat()) for line in lines] == [
        (Job.WAL_CHECK, "2026-11-22T02:00:00+00:00"),
        (Job.BASE_BACKUP, "2026-11-22T19:00:00+00:00"),
    ]


def test_what_a_pause_holds_back_comes_when_it_is_over() -> None:
    """A backup due within the pause comes at its end, one due later in its time; what reads the WAL's state does not wait."""
    lines = timetable(CRONS, ZoneInfo("UTC"), last={}, pause=PAUSE, now=NOW)
    assert {line.job: (line.paused, line.next_at) for line in lines} == {
        Job.WAL_CHECK: (False, NOW + timedelta(minutes=30)),
        Job.BASE_BACKUP: (True, PAUSE.until),
    }
    ended = replace(PAUSE, ended_at=NOW)
    assert not any(line.paused for line in timetable(CRONS, ZoneInfo("UTC"), last={}, pause=ended, now=NOW))


def test_the_wal_never_pauses() -> None:
    """Whatever is held back, the stream and its check are not, and neither is anything a person asked for."""
    assert PAUSED_JOBS.isdisjoint({Job.WAL_STREAM, Job.WAL_CHECK, Job.PLAN, Job.EXECUTE, Job.SERVER_STOP, Job.FORWARD})
    assert {Job.BASE_BACKUP, Job.DUMP, Job.DRILL} <= PAUSED_JOBS

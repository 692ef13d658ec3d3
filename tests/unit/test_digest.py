"""The digest: what it calls safe and what not, and its words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.model.backups import BackupSummary
from bot.model.digest import Situation, make_digest
from bot.model.ids import BackupId, ClusterName, RunId, SystemId
from bot.model.runs import Job, Run, RunState
from bot.model.wal import Lsn

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SLIPS = ClusterName("slips")
HOUR = timedelta(hours=1)


def backup(kind: str, age: timedelta, *, damaged: str | None = None) -> BackupSummary:
    """Return a backup that finished `age` ago."""
    at, lsn = NOW - age, Lsn(0x3000000)
    made = BackupId(f"{at:%Y%m%dT%H%M%SZ}-{kind}-7f3a")
    return BackupSummary(
        made,
        kind,
        SLIPS,
        SystemId("1"),
        at - HOUR,
        at,
        1,
        lsn,
        lsn,
        10**10,
        3 * 10**9,
        160002,
        1 << 24,
        "ab",
        damaged=damaged,
    )


def run(job: Job, age: timedelta, state: RunState = RunState.SUCCEEDED, **result: object) -> Run:
    """Return a run that took four minutes and ended `age` ago."""
    ended, began = NOW - age, NOW - age - timedelta(minutes=4)
    made = RunId(f"{job}-{age.total_seconds():.0f}")
    return Run(made, job, SLIPS, state, 3, {}, began, "pitstop", started_at=began, finished_at=ended, result=result)


DRILL = run(Job.DRILL, timedelta(days=2), ok=True, proofs=[{"seconds": 900.0}])
WELL = Situation(
    cluster="slips",
    now=NOW,
    since=NOW - timedelta(days=1),
    backups=[backup("base", 7 * HOUR), backup("dump", 6 * HOUR)],
    runs=[run(Job.BASE_BACKUP, 7 * HOUR), run(Job.DUMP, 6 * HOUR), DRILL],
    exposure=timedelta(seconds=3),
    exposures=[(NOW - HOUR, 5), (NOW - 2 * HOUR, 0)],
    alerts=[],
    expected=frozenset({"base", "dump"}),
    max_age=timedelta(hours=24),
    rpo=HOUR,
    rto=timedelta(hours=4),
)


def test_when_all_is_well_nothing_needs_attention() -> None:
    """Fresh backups, WAL within seconds, a drill that passed: all of it is said, with its numbers."""
    digest = make_digest(WELL)
    assert digest.attention == ()
    said = " ".join(digest.safe)
    for words in (
        "base backup is 7 h old: 3.0 GB",
        "dump is 6 h old",
        "the last 3 s",
        "at worst 5 s",
        "in 15 min",
        "All 2 jobs",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backups": [backup("dump", HOUR)]}, "no sound base backup"),
        ({"backups": [backup("base", HOUR, damaged="a hash"), backup("dump", HOUR)]}, "no sound base backup"),
        ({"backups": [backup("base", 25 * HOUR), backup("dump", HOUR)]}, "at most 24 h old"),
        ({"exposure": None}, "WAL is not received"),
        ({"exposure": 2 * HOUR}, "last 2 h would be lost"),
        ({"runs": []}, "No drill proved"),
        ({"runs": [replace(DRILL, result={"ok": False})]}, "failed"),
        ({"runs": [run(Job.DRILL, HOUR, ok=True, proofs=[{"seconds": 20000.0}])]}, "a restore may take 4 h"),
        ({"runs": [DRILL, run(Job.DUMP, HOUR, RunState.FAILED)]}, "dump failed once"),
        ({"alerts": ["The disk of the spool is full in two days."]}, "full in two days"),
        ({"paused_until": NOW + 3 * HOUR}, "paused for another 3 h"),
    ],
)
def test_each_thing_that_is_not_safe_is_said(change: dict[str, object], words: str) -> None:
    """One thing wrong makes one sentence."""
    digest = make_digest(replace(WELL, **change))  # type: ignore[arg-type]
    assert len(digest.attention) == 1
    assert words in digest.attention[0]


def test_a_failure_that_was_made_good_is_no_worry() -> None:
    """A job that failed and succeeded later is said among what is safe."""
    digest = make_digest(
        replace(WELL, runs=[DRILL, run(Job.DUMP, 2 * HOUR, RunState.INTERRUPTED), run(Job.DUMP, HOUR)])
    )
    assert digest.attention == ()
    assert "has succeeded since" in " ".join(digest.safe)


def test_what_is_not_scheduled_is_not_missed() -> None:
    """Where no dump is configured none is expected."""
    digest = make_digest(replace(WELL, backups=[backup("base", HOUR)], expected=frozenset({"base"})))
    assert digest.attention == ()


def test_the_charts_are_told_in_words() -> None:
    """Who does not see the picture reads how many, how large, how long, and the objectives."""
    alt = make_digest(WELL).alt
    for words in (
        "Stored base backups: 1",
        "A dump took 4 min",
        "0 s to 5 s; allowed 60 min",
        "1 of 1 passed; allowed 4 h",
    ):
        assert words in alt

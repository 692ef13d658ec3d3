"""The digest: what it calls safe and what not, its words, and its charts."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest

from bot.model.backups import BackupSummary
from bot.model.digest import Series, Situation, make_digest
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


def test_the_charts_can_be_read_on_any_screen() -> None:
    """Their paper is opaque, so that dark and light screens show the same, and text on it keeps WCAG's 4.5 to 1."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    from jobs.digest import charts

    pixels = imread(BytesIO(charts.draw(make_digest(WELL).series)))
    assert pixels[..., 3].min() == 1, "nothing shines through"
    for colour in (charts._INK, charts._FAINT, charts._LIMIT):
        assert contrast(colour, charts._PAPER) >= 4.5
    for colour in (charts._BASE, charts._DUMP, charts._GOOD, charts._BAD):
        assert contrast(colour, charts._PAPER) >= 3, "lines and marks"


def contrast(one: str, other: str) -> float:
    """Return WCAG's contrast of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_charts_are_the_same_for_the_same_values() -> None:
    """Drawn twice, also from what the run's result keeps as JSON, the picture is the same; an empty one is drawn too."""
    pytest.importorskip("matplotlib")
    from jobs.digest.charts import draw

    series = make_digest(WELL).series
    kept = Series.from_json(json.loads(json.dumps(asdict(series))))
    assert kept == series
    picture = draw(series)
    assert picture == draw(kept)
    assert picture.startswith(b"\x89PNG")
    assert draw(Series((), (), (), (), 3600, 14400)) != picture

"""Schedules: cron as cron reads it, and slots that a clock change neither skips nor doubles."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Usage
from bot.model.schedule import Cron, Slot, due, latest, next_slot, schedule_of, slots_on
from tests.sweeps import examples

# The last three set their clocks by half an hour, at midnight, and across midnight.
ZONES = [
    "UTC",
    "Asia/Bangkok",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "America/Sao_Paulo",
]
CHANGES = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 10, 4), date(2026, 4, 5)),
    "America/Havana": (date(2026, 3, 8), date(2026, 11, 1)),
}


def utc(text: str) -> datetime:
    """Read a UTC time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def utc_naive(day: str) -> datetime:
    """Return midnight of a day, as hypothesis wants its bounds."""
    return datetime.fromisoformat(day)


@pytest.mark.parametrize(
    ("text", "day", "matches"),
    [
        ("0 3 * * 0", date(2026, 11, 22), True),
        ("0 3 * * 7", date(2026, 11, 22), True),
        ("0 3 * * sun", date(2026, 11, 22), True),
        ("0 3 * * Sunday", date(2026, 11, 22), True),
        ("0 3 * * 1", date(2026, 11, 22), False),
        ("0 3 * * 1", date(2026, 11, 23), True),
        ("0 3 * * 5-7", date(2026, 11, 22), True),
        ("0 3 * * sat-sun", date(2026, 11, 21), True),
        ("0 3 * * mon-fri", date(2026, 11, 22), False),
        ("0 3 * * */2", date(2026, 11, 22), True),
        ("0 3 * * */2", date(2026, 11, 23), False),
        ("0 3 1,15 * *", date(2026, 11, 15), True),
        ("0 3 1-7/3 * *", date(2026, 11, 4), True),
        ("0 3 1-7/3 * *", date(2026, 11, 5), False),
        ("0 3 * nov *", date(2026, 11, 5), True),
        ("0 3 * jan-mar,12 *", date(2026, 11, 5), False),
        ("0 3 13 * fri", date(2026, 11, 13), True),
        ("0 3 13 * fri", date(2026, 11, 20), True),
        ("0 3 13 * fri", date(2026, 11, 14), False),
        ("0 3 29 2 *", date(2028, 2, 29), True),
        ("@weekly", date(2026, 11, 22), True),
    ],
)
def test_dates_are_matched_as_cron_matches_them(text: str, day: date, matches: bool) -> None:
    """Weekday 0 and 7 are Sunday; names, ranges, lists and steps work; two restricted day fields are an either-or."""
    assert Cron.parse(text).on(day) is matches


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nightly",
        "0 2 * *",
        "0 2 * * * *",
        "60 2 * * *",
        "0 24 * * *",
        "0 2 0 * *",
        "0 2 * 13 *",
        "0 2 * * 8",
        "0 2 * * monkey",
        "0 2 */0 * *",
        "0 2/3 * * *",
        "0 5-2 * * *",
        "0 *-3 * * *",
        "0 2 31 2 *",
        "-1 2 * * *",
        "0 2,, * * *",
        "٣ 2 * * *",
    ],
)
def test_what_is_no_schedule_is_refused_with_its_key(text: str) -> None:
    """An invalid expression is a Usage error that names the key in the configuration."""
    with pytest.raises(Usage) as caught:
        schedule_of(text, key="clusters.slips.schedule.base_backup")
    assert caught.value.message.startswith("clusters.slips.schedule.base_backup: ")
    assert caught.value.hint


def test_off_is_no_schedule() -> None:
    """`off` disables a job, in any spelling."""
    assert schedule_of(" OFF ", key="x") is None


@pytest.mark.parametrize("zone", sorted(CHANGES))
def test_a_daily_job_runs_once_on_each_date_of_a_year(zone: str) -> None:
    """On every date of 2026, both clock changes included, a job at any hour has exactly one slot, on that local date."""
    for hour in (0, 2, 23):
        cron = Cron.parse(f"30 {hour} * * *")
        for number in range(365):
            day = date(2026, 1, 1) + timedelta(days=number)
            slots = list(slots_on(cron, ZoneInfo(zone), day))
            assert [slot.key for slot in slots] == [day.isoformat()]
            assert slots[0].at.astimezone(ZoneInfo(zone)).date() == day


@pytest.mark.parametrize("zone", sorted(CHANGES))
def test_an_hourly_job_runs_once_in_each_hour_around_the_changes(zone: str) -> None:
    """An hourly job's slots stay an hour of elapsed time apart (Lord Howe, at its changes: half an hour more or less)."""
    cron = Cron.parse("0 * * * *")
    allowed = {timedelta(hours=1)}
    if zone == "Australia/Lord_Howe":
        allowed |= {timedelta(minutes=30), timedelta(minutes=90)}
    for change in CHANGES[zone]:
        days = [change + timedelta(days=number) for number in range(-3, 4)]
        instants = [slot.at for day in days for slot in slots_on(cron, ZoneInfo(zone), day)]
        assert {later - earlier for earlier, later in pairwise(instants)} <= allowed


@pytest.mark.parametrize("zone", sorted(CHANGES))
def test_an_hourly_job_has_one_slot_per_elapsed_hour_on_the_days_of_the_changes(zone: str) -> None:
    """The date with a skipped hour has one slot less, the one with a repeated hour one more, and no two share a key."""
    whole_hours = zone != "Australia/Lord_Howe"
    spring, autumn = CHANGES[zone]
    for day, expected in ((spring, 23), (autumn, 25)):
        keys = [slot.key for slot in slots_on(Cron.parse("15 * * * *"), ZoneInfo(zone), day)]
        assert len(set(keys)) == len(keys)
        assert keys == sorted(keys)
        if whole_hours:
            assert len(keys) == expected


def test_a_time_the_clock_skips_comes_at_the_change() -> None:
    """02:30 does not exist in Berlin on 2026-03-29; the run comes at 03:00 summer time, the instant of the change."""
    (slot,) = slots_on(Cron.parse("30 2 * * *"), ZoneInfo("Europe/Berlin"), date(2026, 3, 29))
    assert slot == Slot("2026-03-29", utc("2026-03-29T01:00:00"))


def test_a_time_the_clock_repeats_comes_the_first_time() -> None:
    """02:30 comes twice in Berlin on 2026-10-25; the run comes in summer time, and not again."""
    cron, zone = Cron.parse("30 2 * * *"), ZoneInfo("Europe/Berlin")
    (slot,) = slots_on(cron, zone, date(2026, 10, 25))
    assert slot == Slot("2026-10-25", utc("2026-10-25T00:30:00"))
    again = due(cron, zone, last=slot.key, since=utc("2026-01-01T00:00:00"), now=utc("2026-10-25T01:30:00"))
    assert again is None


def test_missed_runs_are_caught_up_once() -> None:
    """After five days down one run is due, for the latest date; once it ran, none is until tomorrow."""
    cron, zone, since = Cron.parse("0 2 * * *"), ZoneInfo("Asia/Bangkok"), utc("2026-01-01T00:00:00")
    now = utc("2026-11-22T12:00:00")
    slot = due(cron, zone, last="2026-11-17", since=since, now=now)
    assert slot == Slot("2026-11-22", utc("2026-11-21T19:00:00"))
    assert due(cron, zone, last="2026-11-22", since=since, now=now) is None
    assert due(cron, zone, last="2026-11-22", since=since, now=utc("2026-11-22T18:59:59")) is None
    tomorrow = due(cron, zone, last="2026-11-22", since=since, now=utc("2026-11-22T19:00:00"))
    assert tomorrow is not None
    assert tomorrow.key == "2026-11-23"


def test_nothing_before_the_first_start_is_due() -> None:
    """A bot that starts for the first time at noon does not owe last night's backup."""
    cron, zone = Cron.parse("0 2 * * *"), ZoneInfo("UTC")
    assert due(cron, zone, last=None, since=utc("2026-11-22T12:00:00"), now=utc("2026-11-22T12:01:00")) is None
    assert due(cron, zone, last=None, since=utc("2026-11-22T12:00:00"), now=utc("2026-11-23T02:00:00")) is not None


def test_moving_a_daily_schedule_does_not_run_twice_on_a_date() -> None:
    """A daily job moved from 02:00 to 14:00 after it ran waits for tomorrow."""
    moved = due(
        Cron.parse("0 14 * * *"),
        ZoneInfo("UTC"),
        last="2026-11-22",
        since=utc("2026-01-01T00:00:00"),
        now=utc("2026-11-22T15:00:00"),
    )
    assert moved is None


def test_a_clock_set_back_runs_nothing_again() -> None:
    """A slot older than the last one that ran is never due."""
    cron, zone = Cron.parse("0 * * * *"), ZoneInfo("UTC")
    assert (
        due(cron, zone, last="2026-11-22T12:00Z", since=utc("2026-01-01T00:00:00"), now=utc("2026-11-22T10:30:00"))
        is None
    )


@examples(60)
@given(
    zone=st.sampled_from(ZONES),
    hours=st.sampled_from(["*", "*/6", "2", "1,2,3", "0-4", "23"]),
    minute=st.sampled_from(["0", "30", "0,30", "59"]),
    weekday=st.sampled_from(["*", "0", "7", "mon-fri", "sat,sun"]),
    start=st.datetimes(utc_naive("2026-01-01"), utc_naive("2027-12-31")),
    steps=st.lists(st.integers(1, 3000), min_size=1, max_size=40),
)
def test_a_bot_that_looks_now_and_then_runs_each_slot_at_most_once_and_ends_up_to_date(
    zone: str, hours: str, minute: str, weekday: str, start: datetime, steps: list[int]
) -> None:
    """However the bot's wakings fall, keys only grow, none repeats, and after a waking the latest slot has run or been covered."""
    cron, tz, since = Cron.parse(f"{minute} {hours} * * {weekday}"), ZoneInfo(zone), start.replace(tzinfo=UTC)
    now, last, ran = since, None, list[str]()
    for step in steps:
        now += timedelta(minutes=step)
        slot = due(cron, tz, last=last, since=since, now=now)
        if slot is not None:
            assert since < slot.at <= now
            ran.append(slot.key)
            last = slot.key
        newest = latest(cron, tz, since=since, now=now)
        assert newest is None or (last is not None and newest.key <= last)
    assert ran == sorted(set(ran))


@examples(60)
@given(
    zone=st.sampled_from(ZONES),
    text=st.sampled_from(["30 2 * * *", "0 3 * * 0", "0 * * * *", "0,30 2,3 * * *", "15 */4 * * 1-5"]),
    start=st.datetimes(utc_naive("2026-01-01"), utc_naive("2026-12-31")),
)
def test_a_bot_that_looks_every_minute_misses_no_slot(zone: str, text: str, start: datetime) -> None:
    """The slots due minute by minute over two days have the instants that `next_slot` announced."""
    cron, tz = Cron.parse(text), ZoneInfo(zone)
    since = start.replace(tzinfo=UTC, second=0, microsecond=0)
    until = since + timedelta(days=2)
    announced, at = set(), since
    while (at := next_slot(cron, tz, after=at).at) <= until:
        announced.add(at)
    instants, last = set(), None
    for moment in sorted(announced | {since + timedelta(minutes=n) for n in range(0, 2881, 97)}):
        slot = due(cron, tz, last=last, since=since, now=moment)
        if slot is not None:
            instants.add(slot.at)
            last = slot.key
    assert instants == announced

"""Times as people write them: each form read once, said back, and refused where it has two readings or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Usage
from bot.model.times import describe, read_time, written

BANGKOK = ZoneInfo("Asia/Bangkok")
NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 22, 9, 12, tzinfo=UTC)  # a Sunday, 16:12 in Bangkok
FIRST, LAST = datetime.fromisoformat("1991-01-01"), datetime.fromisoformat("2090-01-01")
ZONES = [
    BANGKOK,
    NEW_YORK,
    ZoneInfo("UTC"),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("Asia/Kolkata"),
]


def utc(text: str) -> datetime:
    """Return an ISO time as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14:30", "2026-11-22T07:30"),
        ("14:30:05.123", "2026-11-22T07:30:05.123"),
        ("17:30", "2026-11-21T10:30"),
        ("yesterday 23:10", "2026-11-21T16:10"),
        ("23:10 yesterday", "2026-11-21T16:10"),
        ("today 3am", "2026-11-21T20:00"),
        ("yesterday at 3:15 p.m.", "2026-11-21T08:15"),
        ("noon", "2026-11-22T05:00"),
        ("10 minutes ago", "2026-11-22T09:02"),
        ("10m ago", "2026-11-22T09:02"),
        ("1h30m ago", "2026-11-22T07:42"),
        ("an hour and 5 min ago", "2026-11-22T08:07"),
        ("2026-11-22 14:30", "2026-11-22T07:30"),
        ("2026-11-22T14:30", "2026-11-22T07:30"),
        ("2026-11-22T07:30:00Z", "2026-11-22T07:30"),
        ("2026-11-22T14:30:00+07:00", "2026-11-22T07:30"),
        ("2026-11-22 03:12:07,412 +07", "2026-11-21T20:12:07.412"),
        ("2026-11-22 07:30 UTC", "2026-11-22T07:30"),
        ("07:30Z", "2026-11-22T07:30"),
        ("20261122T020000Z", "2026-11-22T02:00"),
        ("22 Nov 14:30", "2026-11-22T07:30"),
        ("Nov 22, 2026 at 14:30", "2026-11-22T07:30"),
        ("23 november 14:30", "2025-11-23T07:30"),
        ("29 feb 10:00", "2024-02-29T03:00"),
        ("monday 14:30", "2026-11-16T07:30"),
        ("sun 14:30", "2026-11-22T07:30"),
        ("sun 17:30", "2026-11-15T10:30"),
        ("22/11/2026 14:30", "2026-11-22T07:30"),
        ("22.11.2026 14:30", "2026-11-22T07:30"),
        ("2026-11-22 02:00 Europe/Berlin", "2026-11-22T01:00"),
        ("2026\u201111\u201122\u00a014:30", "2026-11-22T07:30"),
        ("\u2009yesterday\u202f23:10 ", "2026-11-21T16:10"),
    ],
)
def test_reads_times_as_people_write_them(text: str, expected: str) -> None:
    """Each form gives one instant, in the person's zone unless the text names another."""
    assert read_time(text, now=NOW, zone=BANGKOK).at == utc(expected)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("03/04/2026 14:30", "ambiguous-time", "2026-03-04 or 2026-04-03"),
        ("2026-11-01 01:30", "ambiguous-time", "2026-11-01T01:30:00-04:00 for the first or 2026-11-01T01:30:00-05:00"),
        ("yesterday midnight", "ambiguous-time", "00:00"),
        ("14:30 est", "ambiguous-time", "offset"),
        ("2026-03-08 02:30", "no-such-time", "went forward"),
        ("31 feb 10:00", "no-such-time", "calendar"),
        ("24:00", "no-such-time", "00 to 23"),
        ("14:30:60", "no-such-time", "00 to 59"),
        ("yesterday", "bad-time", "2026-11-21 14:30"),
        ("20 Nov", "bad-time", "2026-11-20 14:30"),
        ("23 Nov", "bad-time", "2025-11-23 14:30"),
        ("14:30 CST", "ambiguous-time", "Asia/Shanghai, an offset like -06:00"),
        ("1430", "bad-time", "14:30"),
        ("14:30 Nowhere/Land", "bad-time", "not a time zone"),
        ("14:30 America/Argentina", "bad-time", "not a time zone"),
        ("last tuesday 14:30", "bad-time", "not a time"),
        ("14:30 15:30", "bad-time", "not a time"),
        ("13pm", "bad-time", "not a time"),
        ("3", "bad-time", "not a time"),
        ("", "bad-time", "not a time"),
        ("٣:٣٠", "bad-time", "not a time"),
        ("99999999 weeks ago", "bad-time", "not a time"),
        ("14:30:05.1234567", "bad-time", "not a time"),
    ],
)
def test_refuses_what_has_two_readings_or_none(text: str, code: str, says: str) -> None:
    """A refusal names the readings or what to write instead, and carries a stable code."""
    with pytest.raises(Usage) as refused:
        read_time(text, now=NOW, zone=NEW_YORK)
    assert refused.value.reason_code == code
    assert says in str(refused.value)


def test_says_how_a_time_was_read() -> None:
    """The reading names the person's zone and UTC, the UTC day where it differs, and a day that was guessed."""
    said = [read_time(text, now=NOW, zone=BANGKOK).read_as for text in ("14:30", "today 3am", "17:30")]
    assert said == [
        "2026-11-22 14:30:00 Asia/Bangkok = 07:30:00 UTC",
        "2026-11-22 03:00:00 Asia/Bangkok = 2026-11-21 20:00:00 UTC",
        "2026-11-21 17:30:00 Asia/Bangkok = 10:30:00 UTC (yesterday: 17:30:00 today is still to come)",
    ]


def test_a_bare_time_is_never_in_the_future() -> None:
    """Whatever the hour, a time without a day means the last time the clock showed it."""
    for minute in range(0, 24 * 60, 7):
        at = read_time(f"{minute // 60:02}:{minute % 60:02}", now=NOW, zone=BANGKOK).at
        assert NOW - timedelta(days=1) < at <= NOW


@given(st.text(max_size=300) | st.text("0123456789:/-.,+ zTapmgoy", max_size=40))
def test_never_crashes(text: str) -> None:
    """Any text is read or refused with a sentence; nothing else is raised."""
    try:
        read = read_time(text, now=NOW, zone=NEW_YORK)
    except Usage as refused:
        said = bool(refused.message and refused.hint)
    else:
        said = read.at.tzinfo is not None and bool(read.read_as)
    assert said


@given(st.datetimes(FIRST, LAST, timezones=st.just(UTC)), st.sampled_from(ZONES))
def test_reads_back_what_it_writes(at: datetime, zone: ZoneInfo) -> None:
    """What a card says in a person's zone can be pasted into a command, also inside a clock change."""
    later = at + timedelta(days=1)
    assert read_time(written(at, zone), now=later, zone=BANGKOK).at == at
    assert read_time(at.isoformat(), now=later, zone=zone).at == at
    assert written(at, zone) in describe(at, zone)


@given(st.datetimes(FIRST, LAST), st.sampled_from(ZONES))
def test_a_wall_clock_time_is_read_exactly_or_refused(local: datetime, zone: ZoneInfo) -> None:
    """A time is taken only where clocks in the zone showed it once."""
    try:
        at = read_time(local.isoformat(" "), now=NOW, zone=zone).at
    except Usage as refused:
        right = refused.reason_code in {"ambiguous-time", "no-such-time"}
    else:
        right = at.astimezone(zone).replace(tzinfo=None) == local
    assert right

"""Times as people write them: a strict grammar that says how it read each one and refuses what has two readings.

Not dateparser: it guesses (`03/04/2026`, a time inside a clock change, a bare number), and a guessed recovery target is
lost data. The grammar is written out in docs/commands.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from bot.errors import Usage
from bot.model.typed import plain, quoted

EXAMPLES = "`14:30`, `yesterday 23:10`, `10 minutes ago`, `22 Nov 14:30:05` or `2026-11-22T07:30:00Z`"
_YEARS = range(1990, 2101)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = (
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNIT_WORDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "wk", "week", "weeks"), "w"),
}
_MONTH = "|".join(sorted({*_MONTHS, *_MONTH_NAMES, "sept"}, key=len, reverse=True))
_WEEKDAY = "|".join(sorted({*_WEEKDAYS, *(day[:3] for day in _WEEKDAYS)}, key=len, reverse=True))

_AGO = re.compile(r"(?P<amounts>.+?) ?(?:ago|before now|back)", re.ASCII)
_AMOUNT = re.compile(r"(\d{1,9}|an?) ?([a-z]+)(?: and |, ?| )?", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)?(?=z|[+-]|$| )", re.ASCII)
_DATE_FORMS = tuple(
    (name, re.compile(pattern, re.ASCII))
    for name, pattern in (
        ("iso", r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})(?=$|[ t_])[t_]?"),
        ("iso", r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})(?=$| )"),
        ("dotted", r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})(?=$| )"),
        ("slashed", r"(?P<a>\d{1,2})[/-](?P<b>\d{1,2})[/-](?P<y>\d{4})(?=$| )"),
        ("named", rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)?[ -]?(?P<mon>{_MONTH})\.?(?:[ -](?P<y>\d{{4}}))?(?=$| )"),
        ("named", rf"(?P<mon>{_MONTH})\.? (?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?: (?P<y>\d{{4}}))?(?=$| )"),
        ("word", r"(?P<word>today|yesterday)(?=$| )"),
        ("weekday", rf"(?P<weekday>{_WEEKDAY})(?=$| )"),
    )
)
_TIME_FORMS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        r"(?P<h>\d{1,2})[:.](?P<min>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d{1,6}))?)? ?(?P<half>[ap]m)(?=$| )",
        r"(?P<h>\d{1,2}) ?(?P<half>[ap]m)(?=$| )",
        r"(?P<h>\d{1,2}):(?P<min>\d\d)(?::(?P<s>\d\d)(?:[.,](?P<f>\d{1,6}))?)?(?=$|[ z+-])",
        r"(?P<noon>noon)(?=$| )",
    )
)
_OFFSET = re.compile(r"(?:utc|gmt)?(?P<sign>[+-])(?P<h>\d\d):?(?P<min>\d\d)?(?=$| )", re.ASCII)
_UTC = re.compile(r"(?:z|utc|gmt)(?=$| )", re.ASCII)
_ZONE = re.compile(r"[a-z_]+(?:/[a-z0-9_+-]+)+(?=$| )", re.ASCII)
_ABBREVIATION = re.compile(r"\b[a-z]{2,5}\b", re.ASCII)


@dataclass(frozen=True, slots=True)
class ReadTime:
    """A time as it was understood: `at` is aware UTC, `read_as` says it in the person's zone and in UTC."""

    at: datetime
    read_as: str


@dataclass(frozen=True, slots=True)
class _Parts:
    """What has been read; `day` is a date, `today` or `yesterday`, or open: (month, day) without a year, a weekday 0-6."""

    day: date | tuple[int, int] | int | str | None = None
    clock: time | None = None
    zone: tzinfo | None = None


def read_time(text: str, *, now: datetime, zone: tzinfo) -> ReadTime:
    """Read one time; what is left open (the day, the year) becomes the most recent past one.

    Pure. `now` is aware; `zone` is the person's own and serves unless the text names one.

    Raises:
        Usage: it cannot be understood (`bad-time`), has two readings (`ambiguous-time`), or never was (`no-such-time`).
            A time in the future is not refused here.
    """
    words = _words(text)
    try:
        at, note = _ago(words, now) or _absolute(words, text, now, zone)
    except OverflowError:
        raise _not_understood(text) from None
    if at.year not in _YEARS:
        raise _not_understood(text)
    return ReadTime(at, describe(at, zone) + note)


def describe(at: datetime, zone: tzinfo) -> str:
    """Say a time in a zone and in UTC: `2026-11-22 14:30:00 Asia/Bangkok = 07:30:00 UTC`."""
    utc, local = at.astimezone(UTC), at.astimezone(zone)
    if _is_utc(zone):
        return f"{utc:%Y-%m-%d} {_clock(utc)} UTC"
    in_utc = _clock(utc) if utc.date() == local.date() else f"{utc:%Y-%m-%d} {_clock(utc)}"
    return f"{written(at, zone)} = {in_utc} UTC"


def written(at: datetime, zone: tzinfo) -> str:
    """Write a time so that `read_time` reads it back: with the zone's name, or its offset where the name leaves two readings."""
    if _is_utc(zone):
        return f"{at.astimezone(UTC):%Y-%m-%d} {_clock(at.astimezone(UTC))} UTC"
    local = at.astimezone(zone)
    twice = len(_instants(local.replace(tzinfo=None, fold=0), zone)) > 1
    name = str(zone) if isinstance(zone, ZoneInfo) else ""
    if twice or not name:
        return local.replace(tzinfo=None).isoformat(" ", _precision(local)) + _offset(local)
    return f"{local:%Y-%m-%d} {_clock(local)} {name}"


def _as_typed(word: str, text: str) -> str:
    """Return a word that was read in lower case as it stands in what was typed."""
    found = re.search(re.escape(word), text, re.IGNORECASE)
    return found[0] if found else word


def _words(text: str) -> str:
    words = plain(text[:200]).lower()
    words = re.sub(r"\b(a|p)\.m\.?(?=$| )", r"\1m", words)
    words = re.sub(r"(?<![a-z])(?:at|on|the)(?= )", " ", words).replace(", ", " ")
    return " ".join(words.split())


def _ago(words: str, now: datetime) -> tuple[datetime, str] | None:
    match = _AGO.fullmatch(words)
    if match is None:
        return None
    amounts, end = match["amounts"], 0
    seconds = 0
    while found := _AMOUNT.match(amounts, end):
        unit = _UNIT_WORDS.get(found[2])
        if unit is None:
            return None
        seconds += (1 if found[1].startswith("a") else int(found[1])) * _UNIT_SECONDS[unit]
        end = found.end()
    if end == 0 or end != len(amounts):
        return None
    return (now - timedelta(seconds=seconds)).astimezone(UTC), ""


def _absolute(words: str, text: str, now: datetime, zone: tzinfo) -> tuple[datetime, str]:
    parts = _read_parts(words, text)
    if parts.clock is None:
        raise _no_clock(parts, text, now.astimezone(parts.zone or zone).date())
    return _place(parts, now, parts.zone or zone, text)


def _read_parts(words: str, text: str) -> _Parts:
    """Consume day, clock and zone from the left, each at most once, in any order."""
    rest = _COMPACT.sub(lambda m: f"{m[1]}-{m[2]}-{m[3]} {m[4]}:{m[5]}:{m[6] or '00'}", words)
    parts = _Parts()
    while rest:
        for take in (_take_day, _take_clock, _take_zone):
            step = take(parts, rest, text)
            if step is not None:
                parts, rest = step[0], step[1].lstrip()
                break
        else:
            raise _unread(rest, parts, text)
    return parts


def _take_day(parts: _Parts, rest: str, text: str) -> tuple[_Parts, str] | None:
    if parts.day is not None:
        return None
    for form, pattern in _DATE_FORMS:
        if match := pattern.match(rest):
            return replace(parts, day=_day(form, match, text)), rest[match.end() :]
    return None


def _day(form: str, match: re.Match[str], text: str) -> date | tuple[int, int] | int | str:
    found = match.groupdict()
    if form == "word":
        return str(found["word"])
    if form == "weekday":
        return [day[:3] for day in _WEEKDAYS].index(found["weekday"][:3])
    if form == "slashed":
        return _slashed(int(found["a"]), int(found["b"]), int(found["y"]), text)
    month = _MONTHS.index(found["mon"][:3]) + 1 if form == "named" else int(found["m"])
    if found["y"] is None:
        _calendar(2024, month, int(found["d"]), text)
        return month, int(found["d"])
    return _calendar(int(found["y"]), month, int(found["d"]), text)


def _slashed(first: int, second: int, year: int, text: str) -> date:
    """Read `a/b/year` only where one order is possible."""
    readings = {day for day in (_maybe(year, second, first), _maybe(year, first, second)) if day is not None}
    if len(readings) > 1:
        one, two = sorted(readings)
        raise Usage(
            f"{quoted(text)} has two readings: {one:%d %b %Y} and {two:%d %b %Y}.",
            hint=f"Write {one.isoformat()} or {two.isoformat()} with the time.",
            code="ambiguous-time",
        )
    return readings.pop() if readings else _calendar(year, second, first, text)


def _maybe(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _calendar(year: int, month: int, day: int, text: str) -> date:
    found = _maybe(year, month, day)
    if found is None:
        raise Usage(
            f"{quoted(text)} names a day that is not in the calendar.",
            hint=f"Write a time like {EXAMPLES}.",
            code="no-such-time",
        )
    return found


def _take_clock(parts: _Parts, rest: str, text: str) -> tuple[_Parts, str] | None:
    if parts.clock is not None:
        return None
    for pattern in _TIME_FORMS:
        if match := pattern.match(rest):
            return replace(parts, clock=_clock_of(match.groupdict(), text)), rest[match.end() :]
    return None


def _clock_of(found: dict[str, str | None], text: str) -> time:
    if found.get("noon"):
        return time(12)
    hour = int(found["h"] or 0)
    if half := found.get("half"):
        if not 1 <= hour <= 12:
            raise _not_understood(text)
        hour = hour % 12 + (12 if half == "pm" else 0)
    fraction = (found.get("f") or "").ljust(6, "0")
    try:
        return time(hour, int(found.get("min") or 0), int(found.get("s") or 0), int(fraction))
    except ValueError:
        raise Usage(
            f"{quoted(text)} names a time that no clock shows.",
            hint="Hours go from 00 to 23, minutes and seconds from 00 to 59.",
            code="no-such-time",
        ) from None


def _take_zone(parts: _Parts, rest: str, text: str) -> tuple[_Parts, str] | None:
    if parts.zone is not None or (parts.clock is None and parts.day is None):
        return None
    if match := _OFFSET.match(rest):
        hours, minutes = int(match["h"]), int(match["min"] or 0)
        if hours > 14 or minutes > 59:
            raise _not_understood(text)
        span = timedelta(hours=hours, minutes=minutes)
        return replace(parts, zone=timezone(-span if match["sign"] == "-" else span)), rest[match.end() :]
    if match := _UTC.match(rest):
        return replace(parts, zone=UTC), rest[match.end() :]
    if match := _ZONE.match(rest):
        named = re.search(re.escape(match[0]), plain(text), re.IGNORECASE)
        return replace(parts, zone=_named_zone(named[0] if named else match[0])), rest[match.end() :]
    return None


def _named_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Usage(
            f"{quoted(name)} is not a time zone.",
            hint="Write it like Asia/Bangkok, or an offset like +07:00.",
            code="bad-time",
        ) from None


def _place(parts: _Parts, now: datetime, zone: tzinfo, text: str) -> tuple[datetime, str]:
    """Put the clock on a day: the one named, or the most recent on which it is not in the future."""
    assert parts.clock is not None
    today = now.astimezone(zone).date()
    day, clock = parts.day, parts.clock
    if isinstance(day, date):
        return _instant(day, clock, zone, text), ""
    if isinstance(day, str):
        return _instant(_day_named(day, today), clock, zone, text), ""
    for candidate in _candidates(day, today):
        at = _instant(candidate, clock, zone, text)
        if at <= now:
            passed = day is None and candidate != today
            return (
                at,
                f" (yesterday: {clock.isoformat(_clock_precision(clock))} today is still to come)" if passed else "",
            )
    raise _not_understood(text)


def _candidates(day: tuple[int, int] | int | None, today: date) -> list[date]:
    """Return the days an open day may mean, latest first."""
    if day is None:
        return [today, today - timedelta(days=1)]
    if isinstance(day, int):
        back = (today.weekday() - day) % 7
        return [today - timedelta(days=back), today - timedelta(days=back + 7)]
    years = (_maybe(today.year - back, *day) for back in range(9))
    return [found for found in years if found is not None]


def _day_named(day: date | tuple[int, int] | int | str, today: date) -> date:
    """Return the day that was named, an open one as the most recent."""
    if isinstance(day, date):
        return day
    if isinstance(day, str):
        return today - timedelta(days=day == "yesterday")
    return next((found for found in _candidates(day, today) if found <= today), today)


def _instant(day: date, clock: time, zone: tzinfo, text: str) -> datetime:
    """Return the one UTC instant at which clocks in `zone` showed this, refusing clock changes that make it none or two."""
    local = datetime.combine(day, clock)
    found = _instants(local, zone)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Usage(
            f"{local:%Y-%m-%d %H:%M} never was in {zone}: the clocks went forward over it.",
            hint="Write the time before or after the change, or with an offset such as +00:00.",
            code="no-such-time",
        )
    first, second = (at.astimezone(zone) for at in found)
    raise Usage(
        f"{quoted(text)} was twice in {zone}: the clocks went back over it.",
        hint=f"Write {_with_offset(first)} for the first or {_with_offset(second)} for the second.",
        code="ambiguous-time",
    )


def _instants(local: datetime, zone: tzinfo) -> list[datetime]:
    """Return the instants, in order, at which clocks in `zone` showed the naive `local`: none, one or two."""
    found = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(at for at in found if at.astimezone(zone).replace(tzinfo=None, fold=0) == local)


def _with_offset(local: datetime) -> str:
    return local.replace(tzinfo=None).isoformat("T", _precision(local)) + _offset(local)


def _offset(local: datetime) -> str:
    text = f"{local:%z}"
    return f"{text[:3]}:{text[3:5]}"


def _clock(at: datetime) -> str:
    return at.time().isoformat(_precision(at))


def _precision(at: datetime) -> str:
    return _clock_precision(at.time())


def _clock_precision(clock: time) -> str:
    if clock.microsecond == 0:
        return "seconds"
    return "milliseconds" if clock.microsecond % 1000 == 0 else "microseconds"


def _is_utc(zone: tzinfo) -> bool:
    return zone is UTC or str(zone) in {"UTC", "Etc/UTC", "GMT", "Etc/GMT"}


def _not_understood(text: str) -> Usage:
    return Usage(f"{quoted(text)} is not a time I can read.", hint=f"Write one like {EXAMPLES}.", code="bad-time")


def _unread(rest: str, parts: _Parts, text: str) -> Usage:
    if "midnight" in rest:
        return Usage(
            f"{quoted(text)} has two readings: midnight begins one day and ends another.",
            hint="Write 00:00 with the day that begins then.",
            code="ambiguous-time",
        )
    if parts.clock is not None and _ABBREVIATION.fullmatch(rest):
        return Usage(
            f"{quoted(_as_typed(rest, text))} names more than one time zone, or none.",
            hint="Write it as a name like Asia/Shanghai, an offset like -06:00, or UTC.",
            code="ambiguous-time",
        )
    if match := re.fullmatch(r"([01]\d|2[0-3])([0-5]\d)", rest):
        return Usage(
            f"{quoted(text)} is not a time I can read.", hint=f"Did you mean {match[1]}:{match[2]}?", code="bad-time"
        )
    return _not_understood(text)


def _no_clock(parts: _Parts, text: str, today: date) -> Usage:
    if parts.day is None:
        return _not_understood(text)
    day = _day_named(parts.day, today)
    return Usage(
        f"{quoted(text)} names a day but no time.",
        hint=f"Which time? For example {quoted(f'{day.isoformat()} 14:30')}.",
        code="bad-time",
    )

"""When jobs are due: cron expressions in a time zone, as slots that a clock change neither skips nor doubles. Pure.

A schedule with fixed hours (`0 2 * * *`, `30 1,13 * * mon-fri`) is kept by the wall clock: a time that a clock change
skips comes at the moment of the change, one that it repeats comes the first time only. A schedule for every hour
(`0 * * * *`) is kept by elapsed time: no hour is left out, and a repeated hour counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bot.errors import Usage

OFF = "off"
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_LEAP_CYCLE_DAYS = 8 * 366
_LONGEST_DATE_MINUTES = 27 * 60
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
_SHORTHANDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_PART = re.compile(r"^(?P<first>\*|[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?(?:/(?P<step>\d+))?$")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: dict[str, int]


def _names(words: list[str], first: int) -> dict[str, int]:
    return {form: number for number, word in enumerate(words, first) for form in (word, word[:3])}


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, _names(_MONTHS, 1)),
    _Field("weekday", 0, 7, _names(_WEEKDAYS, 0)),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A five-field cron expression, read. `weekdays` are cron's own: 0 is Sunday, 6 Saturday.

    As in cron, when both the day of the month and the weekday are restricted a date matches either.
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read `minute hour day month weekday`, with names, ranges, lists and steps, or a shorthand like `@daily`.

        Raises:
            ValueError: it cannot be understood, or names a date that never comes; says which part.
        """
        expression = _SHORTHANDS.get(text.strip().lower(), text)
        fields = expression.lower().split()
        if len(fields) != len(_FIELDS):
            raise ValueError(
                f"“{text}” is not a schedule: write five fields, minute hour day month weekday, like 0 2 * * *"
            )
        minutes, hours, days, months, weekdays = (_read(f, s, text) for f, s in zip(_FIELDS, fields, strict=True))
        cron = cls(
            text=text,
            minutes=minutes,
            hours=hours,
            days=days,
            months=months,
            weekdays=frozenset(number % 7 for number in weekdays),
            any_day=fields[2].startswith("*"),
            any_weekday=fields[4].startswith("*"),
        )
        if not any(cron.on(date(2024, 1, 1) + n * _DAY) for n in range(_LEAP_CYCLE_DAYS)):
            raise ValueError(f"“{text}” names a date that never comes")
        return cron

    def on(self, day: date) -> bool:
        """Say whether the expression matches anything on `day`."""
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday

    @property
    def every_hour(self) -> bool:
        """Whether it is kept by elapsed time rather than by the wall clock."""
        return len(self.hours) == 24

    @property
    def once_a_day(self) -> bool:
        """Whether a date has at most one slot, which is then keyed by the date alone."""
        return len(self.hours) == 1 and len(self.minutes) == 1


@dataclass(frozen=True, slots=True)
class Slot:
    """One time at which a job should run: `at` is aware UTC.

    `key` is unique per slot and sorts by time: the local date for a job that runs once a day, the local date and time for
    one that runs at several fixed times, and the UTC minute (`…Z`) for one that runs every hour.
    """

    key: str
    at: datetime


def schedule_of(text: str, *, key: str) -> Cron | None:
    """Read a configured schedule; `off` is None. `key` is its path in the configuration.

    Raises:
        Usage: it cannot be understood; names `key`.
    """
    if text.strip().lower() == OFF:
        return None
    try:
        return Cron.parse(text)
    except ValueError as error:
        raise Usage(
            f"{key}: {error}.", hint="Write five cron fields, like 0 2 * * *, or off.", code="bad-schedule"
        ) from None


def due(cron: Cron, zone: ZoneInfo, *, last: str | None, since: datetime, now: datetime) -> Slot | None:
    """Return the slot that should run now, or None.

    However many slots were missed, the latest alone is returned: it stands for all of them. `last` is the greatest key
    that ever ran (None: none), `since` the aware time from which the schedule counts, so that nothing before it is due.
    """
    slot = latest(cron, zone, since=since, now=now)
    if slot is None or (last is not None and slot.key <= last):
        return None
    return slot


def latest(cron: Cron, zone: ZoneInfo, *, since: datetime, now: datetime) -> Slot | None:
    """Return the last slot in (since, now], or None."""
    day = now.astimezone(zone).date() + _DAY
    first = since.astimezone(zone).date() - _DAY
    while day >= first:
        found = [slot for slot in slots_on(cron, zone, day) if since < slot.at <= now]
        if found:
            return found[-1]
        day -= _DAY
    return None


def next_slot(cron: Cron, zone: ZoneInfo, *, after: datetime) -> Slot:
    """Return the first slot later than `after`."""
    day = after.astimezone(zone).date() - _DAY
    for _ in range(_LEAP_CYCLE_DAYS + 2):
        found = next((slot for slot in slots_on(cron, zone, day) if slot.at > after), None)
        if found is not None:
            return found
        day += _DAY
    raise AssertionError(cron.text)  # Cron.parse lets nothing through that never comes


def slots_on(cron: Cron, zone: ZoneInfo, day: date) -> Iterator[Slot]:
    """Yield the slots of one local date in order of time."""
    if not cron.on(day):
        return
    if cron.every_hour:
        yield from _elapsed(cron.minutes, zone, day)
    else:
        yield from _by_the_clock(cron, zone, day)


def _by_the_clock(cron: Cron, zone: ZoneInfo, day: date) -> Iterator[Slot]:
    for hour in sorted(cron.hours):
        for minute in sorted(cron.minutes):
            local = datetime.combine(day, time(hour, minute))
            key = day.isoformat() if cron.once_a_day else local.isoformat(timespec="minutes")
            yield Slot(key, _instant(local, zone))


@lru_cache(maxsize=128)
def _elapsed(minutes: frozenset[int], zone: ZoneInfo, day: date) -> tuple[Slot, ...]:
    slots, at = list[Slot](), _instant(datetime.combine(day, time()), zone)
    # Some zones set their clocks back across midnight, so that a date is left and entered again: look at all of it.
    for _ in range(_LONGEST_DATE_MINUTES):
        local = at.astimezone(zone)
        if local.minute in minutes and local.date() == day:
            slots.append(Slot(at.strftime("%Y-%m-%dT%H:%MZ"), at))
        at += _MINUTE
    return tuple(slots)


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Return when the wall clock of `zone` first shows `local`, or the clock change that skips it."""
    early = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if early.astimezone(zone).replace(tzinfo=None) == local:
        return early
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = early.astimezone(zone).utcoffset()
    while early - before > timedelta(seconds=1):
        middle = before + (early - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            early = middle
        else:
            before = middle
    return early.replace(microsecond=0)


def _read(field: _Field, text: str, whole: str) -> frozenset[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        numbers.update(_part(field, part, whole))
    return frozenset(numbers)


def _part(field: _Field, part: str, whole: str) -> range:
    match = _PART.match(part)
    if match is None:
        raise ValueError(f"“{whole}”: “{part}” is not a {field.name}")
    first, last, step = match["first"], match["last"], match["step"]
    if first == "*":
        if last is not None:
            raise ValueError(f"“{whole}”: “{part}” is not a {field.name}")
        low, high = field.low, 6 if field.high == 7 else field.high
    else:
        low = _number(field, first, whole)
        high = low if last is None else _number(field, last, whole)
        if last is not None and last.startswith("sun"):
            high = 7
    if step is not None and (last is None and first != "*"):
        raise ValueError(f"“{whole}”: a step needs a range, like {field.low}-{field.high}/{step}")
    if step is not None and int(step) == 0:
        raise ValueError(f"“{whole}”: a step of 0 never moves")
    if high < low:
        raise ValueError(f"“{whole}”: the range “{part}” runs backwards")
    return range(low, high + 1, int(step or 1))


def _number(field: _Field, text: str, whole: str) -> int:
    if text in field.names:
        return field.names[text]
    if not text.isdigit() or not field.low <= int(text) <= field.high:
        raise ValueError(f"“{whole}”: “{text}” is not a {field.name} ({field.low} to {field.high})")
    return int(text)

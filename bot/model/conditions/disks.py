"""Disks: how full they are, and when they will be full if it goes on like this. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.model.alerts import Concern, Severity
from bot.model.amounts import size, span

KEPT = timedelta(days=14)
"""How long samples are kept, and how far back the forecast looks."""
FORECAST_FROM = timedelta(hours=6)
"""How much time the samples have to cover before anything is foretold from them."""
_CRITICAL = 0.3


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system: `name` says what of ours lies there (`ledger, spool`), `samples` (time, bytes used), oldest first."""

    name: str
    path: str
    total_bytes: int
    free_bytes: int
    samples: Sequence[tuple[datetime, int]] = ()


def full_at(disk: Disk, now: datetime) -> datetime | None:
    """Return when a disk will be full by a straight line through its samples; None when it does not grow or too little is known."""
    if len(disk.samples) < 3 or disk.samples[-1][0] - disk.samples[0][0] < FORECAST_FROM:
        return None
    begin = disk.samples[0][0]
    hours = [(at - begin).total_seconds() / 3600 for at, _ in disk.samples]
    used = [float(value) for _, value in disk.samples]
    middle, mean = sum(hours) / len(hours), sum(used) / len(used)
    spread = sum((hour - middle) ** 2 for hour in hours)
    slope = sum((hour - middle) * (value - mean) for hour, value in zip(hours, used, strict=True)) / spread
    if slope <= 0:
        return None
    left = disk.free_bytes / slope
    return now + timedelta(hours=left) if left < 24 * 365 * 10 else None


def disk_full(disks: Sequence[Disk], *, free_share: float, full_within: timedelta, now: datetime) -> list[Concern]:
    """Say which disks have less than `free_share` left (a third of that pages), or will be full `full_within` from now."""
    found = []
    for disk in disks:
        share = disk.free_bytes / disk.total_bytes if disk.total_bytes else 0.0
        forecast = full_at(disk, now)
        what = f"The disk of {disk.name} ({disk.path}) has {size(disk.free_bytes)} of {size(disk.total_bytes)} left"
        if share < free_share:
            severity = Severity.PAGE if share < free_share * _CRITICAL else Severity.WARN
            sentence = f"{what}, {share:.0%}."
        elif forecast is not None and forecast - now < full_within:
            severity = Severity.WARN
            sentence = f"{what}, and is full in {span(forecast - now)} if it goes on like this."
        else:
            continue
        fix = "Free space or enlarge it: without room no WAL is kept and no backup is made. `pitstop server list` shows copies."
        found.append(Concern("disk", "", disk.name, severity, sentence, fix))
    return found

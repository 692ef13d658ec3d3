"""Spans, sizes and numbers of things as sentences say them. Pure."""

from __future__ import annotations

from datetime import timedelta


def span(length: timedelta) -> str:
    """Return a span in one or two units: `45 s`, `5 min`, `3 h 20 min`, `2 days`."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 90:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 person`, `3 people`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(count: float) -> str:
    """Return bytes in powers of 1000: `312 bytes`, `3.1 GB`."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"

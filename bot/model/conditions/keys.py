"""Keys: a data key that is due to be rotated. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.model.alerts import Concern, Severity
from bot.model.amounts import span


def key_age(newest: Mapping[str, datetime], *, every: timedelta, now: datetime) -> list[Concern]:
    """Say in which repositories the newest data key is older than `every`; `newest` is when it was made, by repository."""
    return [
        Concern(
            "key-age",
            "",
            repository,
            Severity.WARN,
            f"The newest data key of {repository} was made on {made_at:%Y-%m-%d}, more than {span(every)} ago.",
            "Rotate it, which also proves that every backup still opens: pitstop keys rotate",
        )
        for repository, made_at in sorted(newest.items())
        if now - made_at > every
    ]

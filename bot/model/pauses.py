"""A pause: for a while nothing heavy begins on a cluster by schedule; WAL goes on. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.errors import Usage
from bot.model.ids import ClusterName
from bot.model.people import Person
from bot.model.runs import Job
from bot.model.typed import plain, quoted

PAUSED_JOBS = frozenset({Job.BASE_BACKUP, Job.DUMP, Job.DRILL, Job.RETENTION, Job.SCRUB, Job.SYNC})
"""What a pause holds back: what loads the server or the storage. WAL is streamed and checked all the time, and messages come."""

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=7)

_AMOUNT = re.compile(r"(\d{1,6})\s*(minutes|minute|mins|min|m|hours|hour|hrs|hr|h|days|day|d)(?![a-z])\s*", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause of a cluster's schedule, aware UTC. It is over at `until`, or at `ended_at` where somebody resumed before.

    `by` is who asked for it, `ended_by` who ended it.
    """

    id: str
    cluster: ClusterName
    by: Person
    by_name: str
    at: datetime
    until: datetime
    ended_at: datetime | None = None
    ended_by: Person | None = None

    def lasts(self, now: datetime) -> bool:
        """Say whether it holds at `now`."""
        return self.at <= now < self.over_at

    @property
    def over_at(self) -> datetime:
        """When it is over, or was."""
        return self.ended_at or self.until

    def holds(self, job: Job, at: datetime) -> bool:
        """Say whether it holds back an occurrence of `job` at `at`."""
        return job in PAUSED_JOBS and self.lasts(at)


def read_span(text: str) -> timedelta:
    """Read how long a pause lasts: `2h`, `90m`, `1d 12h`, `30 minutes`. Pure.

    Raises:
        Usage: not understood (`bad-duration`), shorter than a minute or longer than a week.
    """
    words, end, span = plain(text[:200]).lower(), 0, timedelta()
    while found := _AMOUNT.match(words, end):
        span += int(found[1]) * _UNITS[found[2][0]]
        end = found.end()
    if not words or end != len(words):
        raise Usage(f"{quoted(text)} is not how long.", hint="Write `2h`, `90m` or `1d 12h`.", code="bad-duration")
    if not SHORTEST <= span <= LONGEST:
        raise Usage(
            "A pause lasts between a minute and 7 days.",
            hint="Should it be longer? Set the job to `off` in the configuration.",
            code="bad-duration",
        )
    return span

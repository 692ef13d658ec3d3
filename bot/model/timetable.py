"""What runs when: each job of a cluster with its schedule, its next and its last run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.model.pauses import PAUSED_JOBS, Pause
from bot.model.runs import Job, Run
from bot.model.schedule import Cron, next_slot


@dataclass(frozen=True, slots=True)
class Line:
    """One job: its cron expression, when it comes next (aware UTC), the newest run of it, and whether a pause holds it back.

    While a pause holds it back, `next_at` is the first slot after the pause or, where one is missed before, its end.
    """

    job: Job
    cron: str
    next_at: datetime
    last: Run | None
    paused: bool

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        last = self.last
        return {
            "job": self.job.value,
            "cron": self.cron,
            "next": self.next_at.isoformat(),
            "paused": self.paused,
            "last": last
            and {
                "run": last.id,
                "state": last.state.value,
                "at": (last.finished_at or last.started_at or last.queued_at).isoformat(),
            },
        }


def timetable(
    crons: Iterable[tuple[Job, Cron]],
    zone: ZoneInfo,
    *,
    last: Mapping[Job, Run],
    pause: Pause | None,
    now: datetime,
) -> list[Line]:
    """Return the scheduled jobs in the order in which they come next. `now` is aware."""
    held = pause if pause is not None and pause.lasts(now) else None
    return sorted(
        (_line(job, cron, zone, last.get(job), held, now) for job, cron in crons), key=lambda line: line.next_at
    )


def _line(job: Job, cron: Cron, zone: ZoneInfo, last: Run | None, held: Pause | None, now: datetime) -> Line:
    paused = held is not None and job in PAUSED_JOBS
    at = next_slot(cron, zone, after=now).at
    if held is not None and paused:
        at = max(at, held.until)  # what is missed until then is caught up at once
    return Line(job, cron.text, at, last, paused)

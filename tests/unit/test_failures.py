"""What the end of a run means for the alerts."""

from __future__ import annotations

from typing import Any

import pytest

from bot.model.conditions.drills import of_now
from bot.model.failures import concern_of, misnamed
from bot.model.ids import RunId
from bot.model.runs import Job, Run, RunState
from tests.unit.desk_world import NOON, SLIPS


def failed(job: Job, args: dict[str, Any], code: str, exit_code: int = 2, **more: Any) -> Run:
    """Return a run that failed so."""
    error = {"code": code, "message": "No.", "hint": "?", "exit_code": exit_code}
    return Run(
        RunId("r"), job, SLIPS, RunState.FAILED, 3, args, NOON, "host:root", finished_at=NOON, error=error, **more
    )


@pytest.mark.parametrize(
    ("job", "args", "code"),
    [
        (Job.DUMP, {"tables": ["orderz"]}, "unknown-table"),
        (Job.DUMP, {"databases": ["shpo"]}, "unknown-database"),
        (Job.DUMP, {"tables": ["a"], "exclude_tables": ["a"]}, "nothing-chosen"),
        (Job.DRILL, {"backup": "nofile"}, "unknown-backup"),
        (Job.IMPORT, {"file": "nofile"}, "unknown-file"),
    ],
)
def test_what_a_person_named_wrongly_is_no_alert(job: Job, args: dict[str, Any], code: str) -> None:
    """They are told where they typed it; the very same of a scheduled run, or without the argument, is an alert."""
    run = failed(job, args, code)
    assert misnamed(run)
    assert concern_of(run) is None
    assert concern_of(failed(job, args, code, scheduled_for="slot")) is not None
    assert concern_of(failed(job, {}, code)) is not None
    if job is Job.DRILL:
        assert not of_now(run), "it would count among the drills"


def test_what_is_wrong_with_the_server_is_an_alert_whoever_asked() -> None:
    """A right that is missing, and a server that is away, are told although a person named tables."""
    for code, exit_code in (("right-connect", 2), ("server-gone", 1), ("unknown-table", 1)):
        assert concern_of(failed(Job.DUMP, {"tables": ["orders"]}, code, exit_code)) is not None

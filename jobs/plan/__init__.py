"""Planning a recovery: read the repository and this host, and propose what would be done, or refuse and say what can be had."""

from __future__ import annotations

from typing import Any

from jobs.context import JobContext
from jobs.plan.make import make_plan
from jobs.plan.window import measured_window

__all__ = ["make_plan", "measured_window", "run"]


def run(context: JobContext) -> dict[str, Any]:
    """Plan the run's request: PLANNING → PROPOSED or REFUSED. Answers {"proposed": bool, "steps_hash" or "error"}."""
    raise NotImplementedError

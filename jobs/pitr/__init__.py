"""The executor of a recovery beside: claim, fetch, prepare, recover, check, report."""

from __future__ import annotations

from typing import Any

from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Carry out the run's approved request and answer what `pitr --json` prints.

    {"directory", "dsn", "target": {"timeline", "lsn", …}, "checks": [{"name", "ok", "detail"}], "tables": […], "seconds",
    "phases", "bytes", "expires_at"}
    """
    raise NotImplementedError

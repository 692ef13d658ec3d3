"""The WAL receiver: spool, ship, keep the slots; and the one source recovery reads WAL from."""

from __future__ import annotations

from typing import Any

from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Receive the WAL of the run's cluster until asked to stop."""
    raise NotImplementedError

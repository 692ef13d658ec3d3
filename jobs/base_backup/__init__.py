"""Take one base backup into a repository."""

from __future__ import annotations

from typing import Any

from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Back the run's cluster up; return {"id", "kind", "bytes_read", "bytes_stored", "seconds", …}."""
    raise NotImplementedError

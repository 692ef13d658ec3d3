"""The hourly WAL check: is everything the server wrote until now durable in each repository, without a hole?"""

from __future__ import annotations

from typing import Any

from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Check the run's cluster; return {"ok", "findings": [{"level", "code", "sentence", "fix"}], "repositories": {…}}."""
    raise NotImplementedError

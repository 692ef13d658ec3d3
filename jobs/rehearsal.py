"""The monthly rehearsal: its card reminds the team to walk through a request and an approval themselves."""

from __future__ import annotations

from typing import Any

from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Let the card be posted, which the end of this run does; there is nothing else to do.

    Returns {"databases": the configured ones, for the example on the card}.
    """
    return {"databases": list(context.config.cluster(context.run.cluster).databases)}

"""The executor: carries an approved request out with the module for its kind of work."""

from __future__ import annotations

from typing import Any

from bot.ledger import requests
from bot.model.restores import Restoration
from jobs import pitr, restore
from jobs.claimed import plan_of
from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Carry out the run's request; see `jobs.pitr` and `jobs.restore` for how, and for what they answer."""
    assert context.run.request is not None, "an executor stands on a request"
    with context.ledger.read() as tx:
        request = requests.get(tx, context.run.request)
    if isinstance(plan_of(request).steps.work, Restoration):
        return restore.run(context)
    return pitr.run(context)

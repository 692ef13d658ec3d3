"""The executor: carries an approved request out with the module for its kind of work."""

from __future__ import annotations

from typing import Any

from bot.ledger import requests
from bot.model.destinations import InPlace
from bot.model.ids import RequestId
from bot.model.restores import Restoration
from jobs import in_place, pitr, restore
from jobs.claimed import plan_of
from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Carry out the run's request; see `jobs.pitr`, `jobs.restore` and `jobs.in_place` for how, and for what they answer."""
    assert context.run.request is not None, "an executor stands on a request"
    with context.ledger.read() as tx:
        request = requests.get(tx, context.run.request)
    steps = plan_of(request).steps
    if isinstance(steps.destination, InPlace):
        return in_place.run(context)
    if isinstance(steps.work, Restoration):
        return restore.run(context)
    return pitr.run(context)


def clean(context: JobContext) -> dict[str, Any]:
    """Clear up on the live server after a lost executor of the request `args["request"]`. Idempotent."""
    with context.ledger.read() as tx:
        request = requests.get(tx, RequestId(str(context.run.args["request"])))
    if isinstance(plan_of(request).steps.destination, InPlace):
        return in_place.put_back(context)
    return restore.clean(context)

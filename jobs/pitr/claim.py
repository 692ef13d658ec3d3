"""Claim: look again, and take the approved request, once; or take up what a crash interrupted."""

from __future__ import annotations

from bot.config import Config
from bot.model.holding import Observed
from bot.model.plans import Plan
from jobs.claimed import claim_request
from jobs.context import JobContext
from jobs.pitr.observe import observe
from jobs.pitr.stock import Stock, open_stock
from jobs.pitr.work import Work


def claim(context: JobContext) -> Work:
    """Take the run's request, with the stock it is made from where the claim opened it. Raises like `claim_request`."""
    context.phase("claim")
    opened: list[Stock] = []

    def look(config: Config, plan: Plan) -> Observed:
        opened.append(open_stock(config, plan.steps))
        return observe(config, plan, opened[0])

    return Work(context, claim_request(context, look), next(iter(opened), None))

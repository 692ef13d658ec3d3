"""Claim: look again, and take the approved request, once; or take up what a crash interrupted."""

from __future__ import annotations

from bot import desk
from bot.ledger import requests
from bot.model.holding import Observed
from bot.model.requests import Request, State
from jobs.claimed import plan_of
from jobs.context import JobContext
from jobs.pitr.observe import observe
from jobs.pitr.stock import open_stock
from jobs.pitr.work import Work


def claim(context: JobContext) -> Work:
    """Take the run's request: APPROVED → RUNNING, if the plan still holds. A resumed request is this run's already.

    Raises:
        Refused: it no longer holds, and the request is VOID; or rights cannot be judged now, and it stays APPROVED.
        Conflict: another run has it, or it is not APPROVED any more.
        Unavailable: the repository cannot be read now; the request stays as it was.
    """
    context.phase("claim")
    assert context.run.request is not None, "an executor stands on a request"
    with context.ledger.read() as tx:
        request = requests.get(tx, context.run.request)
    if request.run == context.run.id and request.state in {State.RUNNING, State.VERIFYING}:
        return Work(context, request)
    plan = plan_of(request)
    stock = open_stock(context.config, plan.steps)
    context.check_cancelled()
    return Work(context, _claim(context, request, observe(context.config, plan, stock)), stock)


def _claim(context: JobContext, request: Request, observed: Observed) -> Request:
    return desk.claim(
        context.ledger,
        request_id=request.id,
        run_id=context.run.id,
        observed=observed,
        at=context.now(),
        policy=context.config.cluster(request.cluster).policy,
        people=context.config.people,
    )

"""A claimed request being carried out: its run, its plan, and how its executor speaks to the desk."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bot import desk
from bot.config import Config
from bot.errors import Conflict, Unavailable
from bot.ledger import requests
from bot.model.holding import Observed, ObservedServer
from bot.model.plans import Plan, Steps
from bot.model.requests import Request, State
from jobs.context import Cancelled, JobContext

T = TypeVar("T")
_LEDGER_AWAY_S = 600.0
_AGAIN_S = 2.0


@dataclass(frozen=True)
class Claimed:
    """What every phase of an executor gets."""

    context: JobContext
    request: Request

    @property
    def config(self) -> Config:
        """The configuration, read afresh by this run's process."""
        return self.context.config

    @property
    def plan(self) -> Plan:
        """The approved plan."""
        return plan_of(self.request)

    @property
    def steps(self) -> Steps:
        """What was approved."""
        return self.plan.steps

    def say(self, word: Callable[[], T]) -> T:
        """Say something to the desk, waiting out a ledger that is locked or full: what was done must not be thrown away for it.

        Raises:
            Cancelled: the request was cancelled meanwhile.
            Unavailable: the ledger could not be written for ten minutes.
        """
        deadline = time.monotonic() + _LEDGER_AWAY_S
        while True:
            try:
                return word()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                if self.context.wait_cancelled(_AGAIN_S):
                    raise Cancelled from None
            except Conflict:
                if self._state() is State.CANCELLED:
                    raise Cancelled from None
                raise

    def say_verifying(self) -> None:
        """Tell the desk that checks begin; a request taken up again in VERIFYING stays there."""
        if self.request.state is State.RUNNING:
            self.say(lambda: desk.verifying(self.context.ledger, self.request.id, self.context.now()))

    def _state(self) -> State:
        with self.context.ledger.read() as tx:
            return requests.get(tx, self.request.id).state


def claim_request(context: JobContext, observe: Callable[[Config, Plan], Observed | ObservedServer]) -> Request:
    """Take the run's request: APPROVED → RUNNING, if the plan holds against what `observe` sees. A resumed one is ours already.

    Raises:
        Refused: it no longer holds, and the request is VOID; or rights cannot be judged now, and it stays APPROVED.
        Conflict: another run has it, or it is not APPROVED any more.
        Unavailable: what is observed is away now; the request stays as it was.
    """
    assert context.run.request is not None, "an executor stands on a request"
    with context.ledger.read() as tx:
        request = requests.get(tx, context.run.request)
    if request.run == context.run.id and request.state in {State.RUNNING, State.VERIFYING}:
        return request
    observed = observe(context.config, plan_of(request))
    context.check_cancelled()
    return desk.claim(
        context.ledger,
        request_id=request.id,
        run_id=context.run.id,
        observed=observed,
        at=context.now(),
        policy=context.config.cluster(request.cluster).policy,
        people=context.config.people,
    )


def plan_of(request: Request) -> Plan:
    """Return an approved request's plan."""
    assert request.plan is not None, "only requests with a plan are approved"
    return request.plan

"""One recovery under way: its run, its claimed request, and what it is made from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from bot.config import Config
from bot.errors import Conflict, Unavailable
from bot.ledger import requests
from bot.model.plans import Plan, Steps
from bot.model.requests import Request, State
from bot.postgres.isolated_folder import ServerFolder
from jobs.context import Cancelled, JobContext
from jobs.pitr.stock import Stock, open_stock

T = TypeVar("T")
_LEDGER_AWAY_S = 600.0
_AGAIN_S = 2.0


@dataclass(frozen=True)
class Work:
    """What every phase gets. `began` is `time.monotonic()` at the claim; `opened` is the stock where the claim opened it."""

    context: JobContext
    request: Request
    opened: Stock | None = None
    began: float = field(default_factory=time.monotonic)

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

    @cached_property
    def stock(self) -> Stock:
        """What it is made from."""
        return self.opened or open_stock(self.config, self.steps)

    @property
    def directory(self) -> Path:
        """Where the server goes."""
        return Path(self.steps.destination.directory)

    def owns_directory(self) -> bool:
        """Say whether the directory carries the marker that this very request put there."""
        folder = ServerFolder(self.directory)
        return folder.is_ours() and folder.state().get("request") == self.request.id

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

    def _state(self) -> State:
        with self.context.ledger.read() as tx:
            return requests.get(tx, self.request.id).state


def plan_of(request: Request) -> Plan:
    """Return an approved request's plan."""
    assert request.plan is not None, "only requests with a plan are approved"
    return request.plan

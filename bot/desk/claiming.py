"""Claim: the executor takes an approved request, once, after everything the approval stood on was checked again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bot.desk.asking import NO_GROUPS, NO_PEOPLE
from bot.ledger.database import Ledger
from bot.model.ids import RequestId, RunId
from bot.model.people import GroupFacts, Policy
from bot.model.plans import Observed
from bot.model.requests import Request


def claim(
    ledger: Ledger,
    *,
    request_id: RequestId,
    run_id: RunId,
    observed: Observed,
    at: datetime,
    policy: Policy,
    people: Mapping[str, str] = NO_PEOPLE,
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    slack_away: bool | None = None,
) -> Request:
    """Take an approved request for `run_id`: APPROVED → RUNNING, and return it with its plan.

    Rights come from the people and groups in the ledger (refreshed by the leader; at most 60 s old). `slack_away` None means
    what the leader last wrote (`ledger.people.set_slack_away`). A request already RUNNING or VERIFYING for `run_id` is returned
    unchanged, so a resumed executor calls this too.

    Raises:
        Refused: facts are stale (the request stays APPROVED), or it no longer holds (the request is VOID; `reason_code` "void").
        Conflict: another run has it, or it is not APPROVED any more.
    """
    raise NotImplementedError

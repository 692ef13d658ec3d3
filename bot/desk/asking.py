"""Ask, propose, refuse, confirm: from a wish to a plan that waits for approval."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.ledger.database import Ledger
from bot.model.ids import ClusterName, RequestId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.plans import Plan
from bot.model.requests import Request
from bot.model.targets import Target

NO_GROUPS: Mapping[str, GroupFacts] = {}
NO_PEOPLE: Mapping[str, str] = {}


def ask(
    ledger: Ledger,
    *,
    key: str,
    at: datetime,
    by: Person,
    name: str,
    facts: PersonFacts | None,
    policy: Policy,
    verb: str,
    cluster: ClusterName,
    target: Target,
    target_text: str,
    destination: dict[str, Any],
    reason: str,
    entropy: bytes,
    asked_in: str | None = None,
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
    token: str | None = None,
) -> Request:
    """Record a request in PLANNING and queue the run that plans it (`request.run`).

    `facts` and `groups` are what Slack just said; they are kept in the ledger and the right is decided from there. `people` is the
    configuration's `[people]` table (login → Slack user id). `entropy` is at least 7 random bytes. `token` is the modal's, if any.

    Raises:
        Refused: the policy does not let `by` ask, or facts are missing or stale.
        Usage: the reason or target is too long, or the destination is not one this version knows.
    """
    raise NotImplementedError


def propose(ledger: Ledger, request_id: RequestId, plan: Plan, at: datetime) -> Request:
    """Attach the plan: PLANNING → PROPOSED; the chain and its WAL are leased until the request ends. Called by the plan's run."""
    raise NotImplementedError


def refuse(ledger: Ledger, request_id: RequestId, error: dict[str, Any], at: datetime) -> Request:
    """Say that there is no such plan: PLANNING → REFUSED. `error` is an error's `as_json()`, plus `nearest` where times are known."""
    raise NotImplementedError


def confirm(
    ledger: Ledger,
    *,
    key: str,
    request_id: RequestId,
    by: Person,
    facts: PersonFacts | None,
    reason: str,
    at: datetime,
    policy: Policy,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
    token: str | None = None,
) -> Request:
    """Send the proposed plan with a reason: PROPOSED → PENDING, or → APPROVED from the host, beside, where the quorum is 0.

    Raises:
        Refused: `by` is not the requester, or may not ask any more.
        Usage: the reason is empty or too long.
        Conflict: the request is not PROPOSED any more, or its policy changed.
    """
    raise NotImplementedError

"""Approve, deny, cancel: people's words on a request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bot.desk.asking import NO_GROUPS, NO_PEOPLE
from bot.ledger.database import Ledger
from bot.model.ids import RequestId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.requests import Request


def approve(
    ledger: Ledger,
    *,
    key: str,
    request_id: RequestId,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
    token: str | None = None,
) -> Request:
    """Record one approval; the request is APPROVED once its quorum of distinct humans agrees.

    A repeated approval by the same human changes nothing.

    Raises:
        Refused: `by` is the requester, no approver, or their facts are missing or stale.
        Conflict: it is not PENDING any more; the sentence says who decided.
    """
    raise NotImplementedError


def deny(
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
    """Say no, with a reason: PENDING → DENIED. Raises like `approve`, and Usage without a reason."""
    raise NotImplementedError


def cancel(
    ledger: Ledger,
    *,
    key: str,
    request_id: RequestId,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    reason: str = "",
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
) -> Request:
    """Stop a request that has not ended, by its requester, an approver, or a login on the host.

    Its queued run is cancelled with it; a running one is in `ledger.runs.unwanted` until the supervisor has ended it.
    """
    raise NotImplementedError

"""Approve, deny, cancel: people's words on a request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bot.desk.asking import NO_GROUPS, NO_PEOPLE
from bot.desk.change import Call, Caller, change, once, permit, redeem
from bot.ledger import requests
from bot.ledger.database import Ledger, Tx
from bot.model import transitions
from bot.model.ids import RequestId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import Action
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
    typed: str = "",
) -> Request:
    """Record one approval; the request is APPROVED once its quorum of distinct humans agrees.

    A repeated approval by the same human changes nothing. What replaces something live takes the cluster's name, `typed`.

    Raises:
        Usage: `cluster-not-typed`.
        Refused: `by` is the requester, no approver, or their facts are missing or stale.
        Conflict: it is not PENDING any more; the sentence says who decided.
    """
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Request]:
        before = requests.get(tx, request_id)
        identities = permit(tx, caller, Action.APPROVE, before.requester, at)
        redeem(tx, token, caller, "approve", at, before)
        after = transitions.approve(
            before, by=by, name=caller.called, policy=policy, identities=identities, at=at, typed=typed
        )
        detail = {"name": caller.called, "human": identities.human(by).key}
        change(tx, before, after, verb="approve", actor=by.key, at=at, detail=detail)
        return request_id, after

    return once(ledger, Call("request.approve", key, request_id, by.key, at), body, _reread)


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
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Request]:
        before = requests.get(tx, request_id)
        identities = permit(tx, caller, Action.DENY, before.requester, at)
        redeem(tx, token, caller, "deny", at, before)
        after = transitions.deny(before, by=by, name=caller.called, reason=reason, identities=identities, at=at)
        detail = {"name": caller.called, "human": identities.human(by).key, "reason": reason}
        change(tx, before, after, verb="deny", actor=by.key, at=at, detail=detail)
        return request_id, after

    return once(ledger, Call("request.deny", key, request_id, by.key, at), body, _reread)


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
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Request]:
        before = requests.get(tx, request_id)
        permit(tx, caller, Action.CANCEL, before.requester, at)
        after = transitions.cancel(before, by=by, name=caller.called, reason=reason, at=at)
        detail = {"name": caller.called, "reason": reason}
        change(tx, before, after, verb="cancel", actor=by.key, at=at, detail=detail)
        return request_id, after

    return once(ledger, Call("request.cancel", key, request_id, by.key, at), body, _reread)


def _reread(tx: Tx, subject: str) -> Request:
    return requests.get(tx, RequestId(subject))

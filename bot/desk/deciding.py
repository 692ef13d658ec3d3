"""Approve, deny, cancel: people's words on a request."""

from __future__ import annotations

from bot.desk.change import change, once, permit, redeem
from bot.ledger import requests
from bot.ledger.database import Ledger, Tx
from bot.model import transitions
from bot.model.callers import Caller
from bot.model.ids import RequestId
from bot.model.policy import Action
from bot.model.requests import Request


def approve(ledger: Ledger, caller: Caller, request_id: RequestId, *, typed: str = "") -> Request:
    """Record one approval; the request is APPROVED once its quorum of distinct humans agrees.

    A repeated approval by the same human changes nothing. What replaces something live takes the cluster's name, `typed`.

    Raises:
        Usage: `cluster-not-typed`.
        Refused: the caller is the requester, no approver, or their facts are missing or stale.
        Conflict: it is not PENDING any more; the sentence says who decided.
    """
    by, at = caller.by, caller.at

    def body(tx: Tx) -> Request:
        before = requests.get(tx, request_id)
        identities = permit(tx, caller, Action.APPROVE, before.requester)
        redeem(tx, caller, "approve", before)
        after = transitions.approve(
            before, by=by, name=caller.called, policy=caller.policy, identities=identities, at=at, typed=typed
        )
        detail = {"name": caller.called, "human": identities.human(by).key}
        return change(tx, before, after, verb="approve", actor=by.key, at=at, detail=detail)

    return once(ledger, caller, "request.approve", request_id, body, requests.get)


def deny(ledger: Ledger, caller: Caller, request_id: RequestId, *, reason: str) -> Request:
    """Say no, with a reason: PENDING → DENIED. Raises like `approve`, and Usage without a reason."""
    by, at = caller.by, caller.at

    def body(tx: Tx) -> Request:
        before = requests.get(tx, request_id)
        identities = permit(tx, caller, Action.DENY, before.requester)
        redeem(tx, caller, "deny", before)
        after = transitions.deny(before, by=by, name=caller.called, reason=reason, identities=identities, at=at)
        detail = {"name": caller.called, "human": identities.human(by).key, "reason": reason}
        return change(tx, before, after, verb="deny", actor=by.key, at=at, detail=detail)

    return once(ledger, caller, "request.deny", request_id, body, requests.get)


def cancel(ledger: Ledger, caller: Caller, request_id: RequestId, *, reason: str = "") -> Request:
    """Stop a request that has not ended, by its requester, an approver, or a login on the host.

    Its queued run is cancelled with it; a running one is in `ledger.runs.unwanted` until the supervisor has ended it.
    """
    by, at = caller.by, caller.at

    def body(tx: Tx) -> Request:
        before = requests.get(tx, request_id)
        permit(tx, caller, Action.CANCEL, before.requester)
        after = transitions.cancel(before, by=by, name=caller.called, reason=reason, at=at)
        detail = {"name": caller.called, "reason": reason}
        return change(tx, before, after, verb="cancel", actor=by.key, at=at, detail=detail)

    return once(ledger, caller, "request.cancel", request_id, body, requests.get)

"""Ask, propose, refuse, confirm: from a wish to a plan that waits for approval."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from bot.desk.change import PITSTOP, begin, change, once, permit, redeem
from bot.desk.queueing import enqueue
from bot.ledger import cards, catalogue, leases, requests
from bot.ledger.database import Ledger, Tx
from bot.model import transitions
from bot.model.callers import Caller
from bot.model.ids import ClusterName, RequestId
from bot.model.ids import request_id as make_request_id
from bot.model.ids import run_id as make_run_id
from bot.model.plans import Plan, Recovery
from bot.model.policy import Action
from bot.model.requests import Request
from bot.model.restores import Wanted
from bot.model.runs import Job
from bot.model.targets import Target
from bot.model.wal import Lsn


def ask(
    ledger: Ledger,
    caller: Caller,
    *,
    verb: str,
    cluster: ClusterName,
    target: Target | Wanted,
    target_text: str,
    destination: dict[str, Any],
    reason: str,
    asked_in: str | None = None,
) -> Request:
    """Record a request in PLANNING and queue the run that plans it (`request.run`).

    What the caller brings of facts is kept in the ledger, and the right is decided from there.

    Raises:
        Refused: the policy does not let the caller ask, or facts are missing or stale.
        Usage: the reason or target is too long, or the destination is not one this version knows.
    """
    by, at = caller.by, caller.at

    def body(tx: Tx) -> Request:
        redeem(tx, caller, "ask")
        identities = permit(tx, caller, Action.ASK)
        request = transitions.ask(
            id=make_request_id(caller.entropy),
            verb=verb,
            cluster=cluster,
            requester=by,
            requester_name=caller.called,
            target=target,
            target_text=target_text,
            destination=destination,
            reason=reason,
            policy=caller.policy,
            run=make_run_id(Job.PLAN, at=at, entropy=fresh(caller.entropy, "plan")),
            at=at,
            asked_in=asked_in,
        )
        begin(tx, request, actor=by.key, at=at, detail=_asked(request))
        _queue_planning(tx, request, caller.entropy, at)
        human = identities.human(by)
        if not human.on_host:
            cards.want(tx, "request", request.id, f"dm:{human.user}", urgent=True)
        return request

    return once(ledger, caller, "request.ask", cluster, body, requests.get)


def propose(ledger: Ledger, request_id: RequestId, plan: Plan, at: datetime) -> Request:
    """Attach the plan: PLANNING → PROPOSED; the chain and its WAL are leased until the request ends. Called by the plan's run."""
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        after = transitions.propose(before, plan, at)
        leases.take(tx, _lease(tx, request_id, plan))
        return change(tx, before, after, verb="propose", actor=PITSTOP, at=at, detail={"steps": plan.steps.as_json()})


def refuse(ledger: Ledger, request_id: RequestId, error: dict[str, Any], at: datetime) -> Request:
    """Say that there is no such plan: PLANNING → REFUSED.

    `error` is an error's `as_json()`, plus `nearest` (a list of reachable times) where they are known.
    """
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        after = transitions.refuse(before, error, at)
        return change(tx, before, after, verb="refuse", actor=PITSTOP, at=at, detail={"error": error})


def confirm(ledger: Ledger, caller: Caller, request_id: RequestId, *, reason: str) -> Request:
    """Send the proposed plan with a reason: PROPOSED → PENDING, or → APPROVED from the host, beside, where the quorum is 0.

    Raises:
        Refused: the caller is not the requester, or may not ask any more.
        Usage: the reason is empty or too long.
        Conflict: the request is not PROPOSED any more, or its policy changed.
    """

    def body(tx: Tx) -> Request:
        before = requests.get(tx, request_id)
        permit(tx, caller, Action.CONFIRM, before.requester)
        redeem(tx, caller, "confirm", before)
        after = transitions.confirm(before, reason=reason, policy=caller.policy, at=caller.at)
        detail = {"reason": after.reason, "quorum": after.quorum}
        return change(tx, before, after, verb="confirm", actor=caller.by.key, at=caller.at, detail=detail)

    return once(ledger, caller, "request.confirm", request_id, body, requests.get)


def fresh(entropy: bytes, word: str) -> bytes:
    """Return more random bytes made of `entropy`, different for each `word`."""
    return hashlib.sha256(word.encode() + entropy).digest()


def _queue_planning(tx: Tx, request: Request, entropy: bytes, at: datetime) -> None:
    enqueue(
        tx,
        job=Job.PLAN,
        cluster=request.cluster,
        args={},
        by=request.requester.key,
        at=at,
        entropy=fresh(entropy, "plan"),
        request=request,
    )


def _asked(request: Request) -> dict[str, Any]:
    return {
        "cluster": request.cluster,
        "verb": request.verb,
        "target": request.target.as_json(),
        "target_text": request.target_text,
        "destination": request.destination,
        "reason": request.reason,
        "name": request.requester_name,
    }


def _lease(tx: Tx, request_id: RequestId, plan: Plan) -> leases.Lease:
    steps = plan.steps
    wal = steps.work.target if isinstance(steps.work, Recovery) else None  # a dump needs none
    first = catalogue.find(tx, steps.cluster, steps.chain[0].backup) if steps.chain else None
    return leases.Lease(
        request=request_id,
        repository=steps.repository,
        cluster=steps.cluster,
        backups=tuple(link.backup for link in steps.chain),
        timeline=wal.timeline if wal else 0,
        start=first.start_lsn if first and wal else Lsn(0),
        end=wal.lsn if wal else Lsn(0),
    )

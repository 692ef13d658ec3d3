"""Ask, propose, refuse, confirm: from a wish to a plan that waits for approval."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.desk.change import PITSTOP, Call, Caller, begin, change, once, permit, redeem
from bot.desk.queueing import enqueue
from bot.ledger import cards, catalogue, leases, requests
from bot.ledger.database import Ledger, Tx
from bot.model import transitions
from bot.model.ids import ClusterName, RequestId
from bot.model.ids import request_id as make_request_id
from bot.model.ids import run_id as make_run_id
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.plans import Plan, Recovery
from bot.model.policy import Action
from bot.model.requests import Request
from bot.model.restores import Wanted
from bot.model.runs import Job
from bot.model.targets import Target
from bot.model.wal import Lsn

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
    target: Target | Wanted,
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
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Request]:
        redeem(tx, token, caller, "ask", at)
        identities = permit(tx, caller, Action.ASK, None, at)
        request = transitions.ask(
            id=make_request_id(entropy),
            verb=verb,
            cluster=cluster,
            requester=by,
            requester_name=caller.called,
            target=target,
            target_text=target_text,
            destination=destination,
            reason=reason,
            policy=policy,
            run=make_run_id(Job.PLAN, at=at, entropy=fresh(entropy, "plan")),
            at=at,
            asked_in=asked_in,
        )
        begin(tx, request, actor=by.key, at=at, detail=_asked(request))
        _queue_planning(tx, request, entropy, at)
        human = identities.human(by)
        if not human.on_host:
            cards.want(tx, "request", request.id, f"dm:{human.user}", urgent=True)
        return request.id, request

    return once(ledger, Call("request.ask", key, cluster, by.key, at), body, _reread)


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
    caller = Caller(by, name, facts, groups, people, policy, slack_away)

    def body(tx: Tx) -> tuple[str, Request]:
        before = requests.get(tx, request_id)
        permit(tx, caller, Action.CONFIRM, before.requester, at)
        redeem(tx, token, caller, "confirm", at, before)
        after = transitions.confirm(before, reason=reason, policy=policy, at=at)
        detail = {"reason": after.reason, "quorum": after.quorum}
        change(tx, before, after, verb="confirm", actor=by.key, at=at, detail=detail)
        return request_id, after

    return once(ledger, Call("request.confirm", key, request_id, by.key, at), body, _reread)


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


def _reread(tx: Tx, subject: str) -> Request:
    return requests.get(tx, RequestId(subject))

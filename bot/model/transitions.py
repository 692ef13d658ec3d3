"""The arrows of `bot.model.requests.TRANSITIONS`, each a pure function from one frozen request to the next.

Times are aware UTC and passed in. What an arrow may not do raises a specific error whose sentence says where the request stands.
Whether a person has the right is `bot.model.policy.authorize`; that nobody approves their own request is checked here as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.errors import Conflict, Refused, Usage
from bot.model.destinations import BESIDE_KINDS, EmptyTables, NewDatabase
from bot.model.dumps import Part
from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.people import Person, Policy
from bot.model.plans import Plan
from bot.model.policy import Identities, required_quorum
from bot.model.requests import TRANSITIONS, Decision, Request, State
from bot.model.restores import Wanted
from bot.model.standing import next_step, standing
from bot.model.targets import Target
from bot.model.typed import quoted

DESTINATIONS: Mapping[str, tuple[str, ...]] = {
    "pitr": ("beside",),
    "restore": ("database", "schema", "beside", "in-place"),
    "undo": ("in-place",),
}
"""Where each verb may lead."""

MAX_REASON = 1000
MAX_TARGET_TEXT = 300
"""Characters. Slack cards show both whole."""


class NotPlanning(Conflict):
    """The request has its plan, or ended without one."""

    code = "not-planning"


class NotProposed(Conflict):
    """There is no plan to confirm, or it was confirmed."""

    code = "not-proposed"


class NotPending(Conflict):
    """The request is not waiting for a decision (any more)."""

    code = "not-pending"


class NotApproved(Conflict):
    """The request is not approved, or somebody claimed it."""

    code = "not-approved"


class NotRunning(Conflict):
    """Nothing is being carried out."""

    code = "not-running"


class NotInterrupted(Conflict):
    """There is nothing to take up again."""

    code = "not-interrupted"


class Ended(Conflict):
    """The request ended; no arrow leads on."""

    code = "ended"


class Lapsed(Conflict):
    """Its time was up before this."""

    code = "expired"


class NotLapsed(Conflict):
    """Its time is not up, or it has none."""

    code = "not-expired"


class PolicyChanged(Conflict):
    """The policy is not the one the plan was made under."""

    code = "policy-changed"


class SelfApproval(Refused):
    """The requester is no approver of their own request."""

    code = "self-approval"


class NotTyped(Usage):
    """The name of the cluster was not typed, or it was another one's."""

    code = "cluster-not-typed"


class OtherPlan(Conflict):
    """The plan is for something else than what was asked for."""

    code = "other-plan"


class NotAgreed(Refused):
    """Fewer distinct humans than the quorum agreed."""

    code = "no-quorum"


def ask(
    *,
    id: RequestId,  # noqa: A002 - the field's name
    verb: str,
    cluster: ClusterName,
    requester: Person,
    requester_name: str,
    target: Target | Wanted,
    target_text: str,
    destination: dict[str, Any],
    reason: str,
    policy: Policy,
    run: RunId,
    at: datetime,
    asked_in: str | None = None,
) -> Request:
    """Begin a request in PLANNING; `run` makes its plan.

    Raises:
        Usage: a text is too long, or the verb does not lead to that destination.
    """
    kind = str(destination.get("kind"))
    known = DESTINATIONS.get(verb, ())
    if kind not in known:
        raise Usage(
            f"A {verb} leads to {' or '.join(known) or 'nothing'} here, not {quoted(kind)}.",
            hint="Leave the destination out.",
            code="unknown-destination",
        )
    return Request(
        id=id,
        verb=verb,
        cluster=cluster,
        state=State.PLANNING,
        version=1,
        requester=requester,
        requester_name=requester_name,
        reason=told(reason, "reason", MAX_REASON),
        target=target,
        target_text=told(target_text, "target", MAX_TARGET_TEXT),
        destination=destination,
        created_at=at,
        changed_at=at,
        quorum=required_quorum(policy, requester, kind),
        expires_at=at + timedelta(seconds=policy.expires_s),
        run=run,
        asked_in=asked_in,
    )


def propose(request: Request, plan: Plan, at: datetime) -> Request:
    """PLANNING → PROPOSED with its plan; the requester has as long to confirm as the planning had.

    Raises:
        OtherPlan: its steps do something else than this request asks for. Lapsed: its time is up.
    """
    _stands(request, {State.PLANNING}, NotPlanning, at)
    _in_time(request, at)
    steps = plan.steps
    if (steps.verb, steps.cluster, steps.destination.kind) != (request.verb, request.cluster, _kind(request)):
        raise OtherPlan(f"The plan that was made is not for request {request.id}.", hint="Ask again from its card.")
    return _moved(request, State.PROPOSED, at, plan=plan, run=None, expires_at=at + _window(request))


def _kind(request: Request) -> str:
    """Return the kind of destination that a plan for the request has: rows alone go into tables that a database has."""
    kind = str(request.destination["kind"])
    rows_alone = isinstance(request.target, Wanted) and request.target.part is Part.DATA_ONLY
    return EmptyTables.kind if rows_alone and kind == NewDatabase.kind else kind


def refuse(request: Request, error: dict[str, Any], at: datetime) -> Request:
    """PLANNING → REFUSED; `error` is an error's `as_json()`, with `nearest` where times are known."""
    _stands(request, {State.PLANNING}, NotPlanning, at)
    return _moved(request, State.REFUSED, at, outcome=error)


def confirm(request: Request, *, reason: str, policy: Policy, at: datetime) -> Request:
    """PROPOSED → PENDING, or → APPROVED where no approver is needed (beside, from the host, quorum 0).

    Raises:
        Usage: no reason is given, here or when asking, or it is too long.
        PolicyChanged: the plan was made under another policy.
    """
    _stands(request, {State.PROPOSED}, NotProposed, at)
    _in_time(request, at)
    _same_policy(request, policy)
    reason = told(reason, "reason", MAX_REASON) or request.reason
    if not reason:
        raise _no_reason()
    assert request.plan is not None
    quorum = required_quorum(policy, request.requester, request.plan.steps.destination.kind)
    state, seconds = (State.PENDING, policy.expires_s) if quorum else (State.APPROVED, policy.claim_s)
    expires_at = at + timedelta(seconds=seconds)
    pending_at = at if quorum else None
    return _moved(request, state, at, reason=reason, quorum=quorum, expires_at=expires_at, pending_at=pending_at)


def approve(
    request: Request, *, by: Person, name: str, policy: Policy, identities: Identities, at: datetime, typed: str = ""
) -> Request:
    """Record one approval; the request is APPROVED once its quorum of distinct humans agrees.

    A repeated approval by the same human changes nothing: the very same value comes back. What replaces something live is
    approved by typing the cluster's name as well.

    Raises:
        NotTyped: `typed` is not the cluster's name, and something live is replaced.
        NotPending: it was decided already. Lapsed: its time is up. PolicyChanged: the plan was made under another policy.
        SelfApproval: `by` made the request.
    """
    human = identities.human(by)
    if human in agreed(request, identities) and request.state in _GOING_ON:
        return request
    _stands(request, {State.PENDING}, NotPending, at)
    _in_time(request, at)
    _not_own(request, by, identities)
    _same_policy(request, policy)
    if must_type_cluster(request) and typed.strip() != request.cluster:
        raise NotTyped(
            f"This replaces a live database, so approving it takes the name of its cluster, typed out: {request.cluster}.",
            hint=f"`pitstop request approve {request.id} --type-cluster NAME`, or the form behind the card's button.",
        )
    voted = _with_decision(request, Decision(human, "approve", "", at, name, _plan_hash(request)))
    if len(agreed(voted, identities)) >= max(1, request.quorum):
        return _moved(voted, State.APPROVED, at, expires_at=at + timedelta(seconds=policy.claim_s))
    return _moved(voted, State.PENDING, at)


def deny(request: Request, *, by: Person, name: str, reason: str, identities: Identities, at: datetime) -> Request:
    """PENDING → DENIED with a reason; somebody who approved may still say no.

    Raises:
        Usage: no reason is given, or it is too long. SelfApproval: `by` made the request; they cancel instead.
    """
    _stands(request, {State.PENDING}, NotPending, at)
    _in_time(request, at)
    _not_own(request, by, identities)
    reason = told(reason, "reason", MAX_REASON)
    if not reason:
        raise _no_reason()
    human = identities.human(by)
    voted = _with_decision(request, Decision(human, "deny", reason, at, name, _plan_hash(request)))
    outcome = _ended_by(human, name, reason, "denied", f"{name} denied this: {reason}")
    return _moved(voted, State.DENIED, at, outcome=outcome)


def cancel(request: Request, *, by: Person, name: str, reason: str, at: datetime) -> Request:
    """Any state that waits or runs → CANCELLED; whoever carries it out finds out at its next word to the desk."""
    _stands(request, _sources("cancel"), Ended, at)
    reason = told(reason, "reason", MAX_REASON)
    message = f"{name} cancelled this." if not reason else f"{name} cancelled this: {reason}"
    return _moved(request, State.CANCELLED, at, outcome=_ended_by(by, name, reason, "cancelled", message))


def expire(request: Request, at: datetime) -> Request:
    """Whatever waits → EXPIRED once its time is up.

    Raises:
        NotLapsed: its time is not up, or it waits for nothing any more.
    """
    _stands(request, _sources("expire"), NotLapsed, at)
    if request.expires_at is None or at < request.expires_at:
        raise NotLapsed("Its time is not up yet.")
    message = {
        State.PLANNING: "No plan was made in time.",
        State.PROPOSED: f"{request.requester_name} did not confirm it in time.",
        State.PENDING: "Nobody decided in time.",
        State.APPROVED: "It was approved, but nothing carried it out in time.",
    }[request.state]
    code = "unclaimed" if request.state is State.APPROVED else "expired"
    outcome = {"code": code, "message": message, "hint": "Ask again.", "left": request.state.value}
    return _moved(request, State.EXPIRED, at, outcome=outcome)


def claim(request: Request, run: RunId, *, identities: Identities, at: datetime) -> Request:
    """APPROVED → RUNNING under `run`.

    Raises:
        NotApproved: somebody claimed it, or it is not approved. Lapsed: nobody claimed it in time.
        NotAgreed: fewer humans agreed than it needs.
    """
    _stands(request, {State.APPROVED}, NotApproved, at)
    _in_time(request, at)
    if len(agreed(request, identities)) < needed_approvals(request):
        raise NotAgreed("Not enough people agreed to this.", hint="Ask again from its card.")
    return _moved(request, State.RUNNING, at, run=run, expires_at=None)


def void(request: Request, reasons: Sequence[str], at: datetime) -> Request:
    """APPROVED → VOID: no longer as planned; `reasons` are sentences."""
    _stands(request, {State.APPROVED}, NotApproved, at)
    outcome = {"code": "void", "message": " ".join(reasons), "hint": "Ask again.", "reasons": list(reasons)}
    return _moved(request, State.VOID, at, outcome=outcome)


def verify(request: Request, at: datetime) -> Request:
    """RUNNING → VERIFYING: recovery reached its target and the checks run."""
    _stands(request, {State.RUNNING}, NotRunning, at)
    return _moved(request, State.VERIFYING, at)


def succeed(request: Request, result: dict[str, Any], at: datetime) -> Request:
    """VERIFYING → SUCCEEDED; `result` is JSON for people."""
    _stands(request, {State.VERIFYING}, NotRunning, at)
    return _moved(request, State.SUCCEEDED, at, outcome=result)


def fail(request: Request, error: dict[str, Any], at: datetime) -> Request:
    """RUNNING, VERIFYING or INTERRUPTED → FAILED; `error` is an error's `as_json()`."""
    _stands(request, _sources("fail"), NotRunning, at)
    return _moved(request, State.FAILED, at, outcome=error)


def interrupt(request: Request, at: datetime, why: str = "") -> Request:
    """PLANNING, RUNNING or VERIFYING → INTERRUPTED; the state it left is kept for `resume`."""
    _stands(request, _sources("interrupt"), NotRunning, at)
    outcome = {"code": "interrupted", "message": why or "The process that worked on it ended.", "hint": ""}
    return _moved(request, State.INTERRUPTED, at, resume_state=request.state, outcome=outcome)


def resume(request: Request, run: RunId, at: datetime) -> Request:
    """INTERRUPTED → the state it left, under a new run."""
    _stands(request, {State.INTERRUPTED}, NotInterrupted, at)
    assert request.resume_state is not None
    return _moved(request, request.resume_state, at, run=run, resume_state=None, outcome=None)


def woken(request: Request, at: datetime) -> Request:
    """Note that approvers were asked a second time; the state stays PENDING.

    Raises:
        NotPending: it was decided meanwhile, or they were woken before.
    """
    _stands(request, {State.PENDING}, NotPending, at)
    if request.woken_at is not None:
        raise NotPending("Its approvers were woken before.")
    return replace(request, version=request.version + 1, woken_at=at)


def agreed(request: Request, identities: Identities) -> frozenset[Person]:
    """Return the distinct humans who approved, without the requester whatever name they used."""
    return frozenset(
        identities.human(decision.by)
        for decision in request.decisions
        if decision.verdict == "approve" and not identities.same(decision.by, request.requester)
    )


def must_type_cluster(request: Request) -> bool:
    """Say whether approving takes the cluster's name: where something live is replaced."""
    return request.plan is not None and request.plan.steps.destination.kind not in BESIDE_KINDS


def needed_approvals(request: Request) -> int:
    """Return the quorum that binds: 0 counts only where nothing existing is touched, asked for on the host."""
    beside = request.plan is not None and request.plan.steps.destination.kind in BESIDE_KINDS
    return request.quorum if request.requester.on_host and beside else max(1, request.quorum)


def told(text: str, what: str, limit: int) -> str:
    """Return a text from a person without control characters and surrounding space.

    Raises:
        Usage: it is longer than `limit` characters.
    """
    kept = "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()
    if len(kept) > limit:
        raise Usage(
            f"The {what} has {len(kept)} characters; {limit} is the most.",
            hint="Say it in a sentence or two.",
            code=f"{what}-too-long",
        )
    return kept


_GOING_ON = {State.PENDING, State.APPROVED, State.RUNNING, State.VERIFYING, State.SUCCEEDED}


def _sources(verb: str) -> set[State]:
    return {arrow.source for arrow in TRANSITIONS if arrow.verb == verb and arrow.source is not None}


def _stands(request: Request, states: set[State], error: type[Conflict], at: datetime) -> None:
    if request.state not in states:
        raise error(standing(request, at), hint=next_step(request))


def _in_time(request: Request, at: datetime) -> None:
    if request.expires_at is not None and at >= request.expires_at:
        raise Lapsed("Its time was up before this.", hint="Ask again from its card.")


def _not_own(request: Request, by: Person, identities: Identities) -> None:
    if identities.same(by, request.requester):
        raise SelfApproval(
            "You asked for this yourself; somebody else has to decide.", hint="Ask another approver, or cancel it."
        )


def _same_policy(request: Request, policy: Policy) -> None:
    assert request.plan is not None
    if request.plan.steps.policy_version != policy.version:
        raise PolicyChanged(
            "The approval policy changed after the plan was made.", hint="It has to be cancelled and asked for again."
        )


def _plan_hash(request: Request) -> str:
    assert request.plan is not None
    return request.plan.steps_hash


def _window(request: Request) -> timedelta:
    assert request.expires_at is not None
    return request.expires_at - request.created_at


def _with_decision(request: Request, decision: Decision) -> Request:
    others = tuple(d for d in request.decisions if d.by != decision.by)
    return replace(request, decisions=(*others, decision))


def _moved(request: Request, state: State, at: datetime, **changes: Any) -> Request:
    return replace(request, state=state, version=request.version + 1, changed_at=at, **changes)


def _ended_by(by: Person, name: str, reason: str, code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "hint": "", "by": by.key, "by_name": name, "reason": reason}


def _no_reason() -> Usage:
    return Usage("A reason is needed.", hint="Why is this right? One sentence is enough.", code="no-reason")

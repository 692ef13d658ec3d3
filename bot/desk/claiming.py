"""Claim: the executor takes an approved request, once, after everything the approval stood on was checked again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.desk.change import NO_GROUPS, NO_PEOPLE, Call, change, note_refusal
from bot.errors import Conflict, PitstopError, Refused
from bot.ledger import audit, requests, runs
from bot.ledger import people as known
from bot.ledger.database import Ledger, Tx
from bot.model import transitions
from bot.model.holding import Observed, ObservedServer, still_holds
from bot.model.ids import RequestId, RunId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.plans import Plan
from bot.model.policy import UNSURE, Action, Identities, authorize, group_ids
from bot.model.requests import Request, State
from bot.model.runs import Job


@dataclass(frozen=True, slots=True)
class _Rights:
    """Who agreed and may still, who may not any more (sentences), and what that was read from (for the audit)."""

    agreeing: int
    lost: tuple[str, ...]
    read: dict[str, Any]


def claim(
    ledger: Ledger,
    *,
    request_id: RequestId,
    run_id: RunId,
    observed: Observed | ObservedServer,
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
    refusal: PitstopError | None = None
    with ledger.transaction() as tx:
        before = requests.get(tx, request_id)
        if before.run == run_id and before.state in {State.RUNNING, State.VERIFYING}:
            return before
        for group in groups.values():
            known.put_group(tx, group)
        identities = Identities(known.team(tx), people)
        away = known.slack_away(tx) if slack_away is None else slack_away
        try:
            after = transitions.claim(before, run_id, identities=identities, at=at)
            _own_run(tx, request_id, run_id)
            broken, rights = _check(tx, before, observed, policy, identities, at, away)
            detail = {"run": run_id, **rights.read}
            if broken:
                after = transitions.void(before, broken, at)
                refusal = Refused(" ".join(broken), hint="Ask again from its card.", code="void")
            verb = "void" if broken else "claim"
            return_value = change(
                tx, before, after, verb=verb, actor="pitstop", at=at, detail={**detail, "reasons": broken}
            )
        except (Refused, Conflict) as error:
            refusal = error
            note_refusal(tx, Call("request.claim", "", request_id, "pitstop", at), error)
    if refusal is not None:
        raise refusal
    return return_value


@dataclass(frozen=True, slots=True)
class Refresh:
    """Whose facts and which groups `claim` and the verbs will decide from: what the leader fetches first."""

    people: tuple[Person, ...]
    groups: tuple[str, ...]


def to_refresh(ledger: Ledger, request_id: RequestId, policy: Policy, people: Mapping[str, str] = NO_PEOPLE) -> Refresh:
    """Return the Slack people and groups that a decision on this request, or its claim, will be judged by."""
    with ledger.read() as tx:
        request = requests.get(tx, request_id)
        identities = Identities(known.team(tx), people)
    humans = {identities.human(person) for person in (request.requester, *(d.by for d in request.decisions))}
    return Refresh(tuple(sorted(person for person in humans if not person.on_host)), group_ids(policy))


def _own_run(tx: Tx, request_id: RequestId, run_id: RunId) -> None:
    run = runs.get(tx, run_id)
    if run.job is not Job.EXECUTE or run.request != request_id or run.state.ended:
        raise Conflict(f"Run {run_id} is not there to carry out {request_id}.", code="wrong-run")


def _check(
    tx: Tx,
    request: Request,
    observed: Observed | ObservedServer,
    policy: Policy,
    identities: Identities,
    at: datetime,
    away: bool,
) -> tuple[list[str], _Rights]:
    """Return what no longer holds, in sentences, and the rights as they are now.

    1. the stored steps are the ones that were proposed, shown and approved;
    2. the policy is the one they were planned under;
    3. the requester may still ask, and enough distinct humans who agreed may still approve;
    4. the plan holds against what the executor observed.

    Raises:
        Refused: rights cannot be judged from facts that old.
    """
    assert request.plan is not None
    broken = []
    if _hashes(tx, request) != {request.plan.steps_hash}:
        broken.append("The plan in the ledger is not the one that was approved.")
    rights = _rights(tx, request, policy, identities, at, away)
    broken += rights.lost
    if rights.agreeing < transitions.needed_approvals(request):
        broken.append("Not enough of those who approved may still do so.")
    return broken + _drifted(request.plan, observed, policy), rights


def _drifted(plan: Plan, observed: Observed | ObservedServer, policy: Policy) -> list[str]:
    drifted = still_holds(plan, observed)
    changed = "The approval policy changed after the plan was made."
    return [changed, *drifted] if policy.version != plan.steps.policy_version and changed not in drifted else drifted


def _hashes(tx: Tx, request: Request) -> set[str | None]:
    """Return every hash the plan was ever known by: in its row, with each approval, in the audit."""
    hashes = {requests.stored_steps_hash(tx, request.id)}
    hashes |= {d.steps_hash for d in request.decisions if d.verdict == "approve"}
    return hashes | set(audit.details(tx, request.id, "steps_hash"))


def _rights(tx: Tx, request: Request, policy: Policy, identities: Identities, at: datetime, away: bool) -> _Rights:
    groups = known.groups(tx, group_ids(policy))
    lost, agreeing = [], 0
    facts = {}
    for action, person in _judged(request, identities):
        facts[person] = known.get(tx, identities.human(person))
        refusal = authorize(
            policy,
            action,
            person,
            facts=facts[person],
            groups=groups,
            requester=request.requester if action.decides else None,
            at=at,
            identities=identities,
            slack_away=away,
        )
        if refusal is not None and refusal.reason_code in UNSURE:
            raise refusal
        if refusal is not None:
            lost.append(f"{person.user} may not {action.value} this any more: {refusal.message}")
        elif action is Action.APPROVE:
            agreeing += 1
    return _Rights(agreeing, _binding(lost, agreeing, request), _read(facts, groups, policy, away))


def _judged(request: Request, identities: Identities) -> list[tuple[Action, Person]]:
    return [
        (Action.ASK, request.requester),
        *((Action.APPROVE, p) for p in sorted(transitions.agreed(request, identities))),
    ]


def _binding(lost: list[str], agreeing: int, request: Request) -> tuple[str, ...]:
    """Return what counts of the rights that were lost: one approver too many may have lost theirs."""
    enough = agreeing >= transitions.needed_approvals(request)
    return tuple(sentence for sentence in lost if not enough or " may not ask " in sentence)


def _read(
    facts: Mapping[Person, PersonFacts | None], groups: Mapping[str, GroupFacts], policy: Policy, away: bool
) -> dict[str, Any]:
    judged = set(facts)
    return {
        "policy": policy.version,
        "slack_away": away,
        "facts_at": {p.key: f.fetched_at.isoformat() if f else None for p, f in facts.items()},
        "members": {name: sorted(m.key for m in group.members & judged) for name, group in groups.items()},
        "groups_at": {name: group.fetched_at.isoformat() for name, group in groups.items()},
    }

"""What every verb shares: one transaction, one answer per key, and a change that carries its audit entry and its cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from bot.errors import Conflict, PitstopError, Refused, Usage
from bot.ledger import audit, cards, keys_seen, leases, locks, modal_tokens, people, requests, runs
from bot.ledger.database import Ledger, Tx
from bot.model.callers import Caller
from bot.model.ids import RequestId
from bot.model.people import GroupFacts, Person
from bot.model.policy import UNSURE, Action, Identities, authorize, group_ids
from bot.model.requests import Request, State
from bot.model.run_transitions import cancel_run
from bot.model.runs import RunState
from bot.model.standing import next_step, standing

PITSTOP = "pitstop"
"""The actor of what nobody in particular did: the schedule, the sweep, the executor."""

NO_GROUPS: Mapping[str, GroupFacts] = {}
NO_PEOPLE: Mapping[str, str] = {}


class Row(Protocol):
    """What a verb makes or changes, and answers with."""

    @property
    def id(self) -> str:
        """By which it is found again."""


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a verb: its idempotency key, what it is about, who calls, when (aware UTC)."""

    verb: str
    key: str
    subject: str
    actor: str
    at: datetime


def once(
    ledger: Ledger, caller: Caller, verb: str, subject: str, body: Callable[[Tx], R], again: Callable[[Tx, Any], R]
) -> R:
    """Run `body` in one transaction, or answer like the call with the same key did.

    `again` finds by its id what that call made or changed. What `body` refuses is undone, audited and kept under the key, in the
    same transaction, and raised after it.
    """
    call = Call(verb, caller.key, subject, caller.by.key, caller.at)
    with ledger.transaction() as tx:
        seen = keys_seen.find(tx, call.verb, call.key)
        if seen is not None:
            _same_call(seen, call)
            return again(tx, seen.subject)
        try:
            with _undone_on_error(tx):
                answer = body(tx)
                keys_seen.put(tx, call.verb, call.key, answer.id, _answer(call), call.at)
                return answer
        except (Usage, Refused, Conflict) as error:
            refusal: PitstopError = error
            note_refusal(tx, call, refusal)
    raise refusal


def note_refusal(tx: Tx, call: Call, error: PitstopError) -> None:
    """Audit a refused attempt; the same call later answers the same, unless the refusal only said that nobody knew enough."""
    audit.append(tx, call.at, call.actor, f"{call.verb}.refused", call.subject[:200], dict(error.as_json()))
    if call.key and error.reason_code not in UNSURE:
        keys_seen.put(tx, call.verb, call.key, call.subject, _answer(call, error), call.at)


def permit(tx: Tx, caller: Caller, action: Action, requester: Person | None = None) -> Identities:
    """Keep the facts the caller brought, decide from what the ledger then knows, and return who is who.

    Raises:
        Refused: the policy says no.
    """
    if caller.facts is not None:
        people.put(tx, caller.facts)
    for group in caller.groups.values():
        people.put_group(tx, group)
    identities = Identities(people.team(tx), caller.logins)
    refusal = authorize(
        caller.policy,
        action,
        caller.by,
        facts=people.get(tx, identities.human(caller.by)),
        groups=people.groups(tx, group_ids(caller.policy)),
        requester=requester,
        at=caller.at,
        identities=identities,
        slack_away=caller.slack_away,
    )
    if refusal is not None:
        raise refusal
    return identities


def redeem(tx: Tx, caller: Caller, purpose: str, request: Request | None = None) -> None:
    """Use the token of the caller's form up, where there is one.

    Raises:
        Refused: it is somebody else's. Conflict: it was used, is too old, or the request changed since the modal was opened.
    """
    if caller.token is None:
        return
    bound = modal_tokens.redeem(tx, caller.token, person=caller.by, purpose=purpose, at=caller.at)
    if bound.request != (request.id if request else None):
        raise Refused("This form was opened for something else.", hint="Open it again.", code="token-foreign")
    if request is not None and bound.version is not None and _moved_on(request, bound.version):
        sentence = f"The request changed since this form was opened. {standing(request, caller.at)}"
        raise Conflict(sentence, hint=next_step(request), code="changed")


def _moved_on(request: Request, version: int) -> bool:
    """Say whether a request is another one than at `version`; that its approvers were woken meanwhile changes nothing."""
    just_woken = request.woken_at is not None and request.woken_at > request.changed_at
    return request.version not in {version, version + 1 if just_woken else version}


def begin(tx: Tx, request: Request, *, actor: str, at: datetime, detail: dict[str, Any] | None = None) -> None:
    """Write a new request with its audit entry."""
    requests.insert(tx, request)
    audit.append(tx, at, actor, "request.ask", request.id, {**_told(None, request), **(detail or {})})


def change(
    tx: Tx,
    before: Request,
    after: Request,
    *,
    verb: str,
    actor: str,
    at: datetime,
    detail: dict[str, Any] | None = None,
) -> Request:
    """Write a changed request by version, with its audit entry, its cards and what its end sets free."""
    if after is before:
        return after
    requests.update(tx, after)
    audit.append(tx, at, actor, f"request.{verb}", after.id, {**_told(before, after), **(detail or {})})
    _mark_cards(tx, before, after)
    if after.state.ended:
        leases.drop(tx, after.id)
        _cancel_queued(tx, after.id, at)
    return after


def _told(before: Request | None, after: Request) -> dict[str, Any]:
    told: dict[str, Any] = {
        "from": before.state.value if before else None,
        "to": after.state.value,
        "version": after.version,
    }
    if after.plan is not None:
        told["steps_hash"] = after.plan.steps_hash
    return told


def _mark_cards(tx: Tx, before: Request, after: Request) -> None:
    if after.state in {State.PENDING, State.APPROVED} and before.state is State.PROPOSED:
        cards.want(tx, "request", after.id, "approvals", urgent=True)
    if after.state is State.SUCCEEDED:
        cards.want(tx, "request", after.id, "results")
    if after.state is State.FAILED:
        cards.want(tx, "request", after.id, "alerts", urgent=True)
    cards.bump(tx, "request", after.id, urgent=True)
    cards.bump(tx, "wake", after.id)
    if after.state is State.RUNNING and after.run is not None:
        cards.want(tx, "run", after.run, f"thread:request:{after.id}")


def _cancel_queued(tx: Tx, request: RequestId, at: datetime) -> None:
    for run in runs.recent(tx, request=request, states=(RunState.QUEUED,)):
        if run.job.of_request:
            runs.update(tx, cancel_run(run, at, "Its request ended."))
            locks.drop(tx, run.id)
            audit.append(tx, at, PITSTOP, "run.cancel", run.id, {"why": "its request ended"})


def _same_call(seen: keys_seen.Seen, call: Call) -> None:
    error = seen.answer.get("error")
    if seen.answer.get("actor") != call.actor or seen.answer.get("about") != call.subject:
        raise Conflict("This key was used for something else.", hint="Use a new key.", code="key-reused")
    if error is not None:
        kind = {"Usage": Usage, "Refused": Refused, "Conflict": Conflict}[seen.answer["kind"]]
        raise kind(error["message"], hint=error["hint"], code=error["code"])


def _answer(call: Call, error: PitstopError | None = None) -> dict[str, Any]:
    about: dict[str, Any] = {"actor": call.actor, "about": call.subject}
    if error is not None:
        kind = next(k for k in (Usage, Refused, Conflict) if isinstance(error, k))
        about |= {"kind": kind.__name__, "error": error.as_json()}
    return about


@contextmanager
def _undone_on_error(tx: Tx) -> Iterator[None]:
    tx.connection.execute("SAVEPOINT verb")
    try:
        yield
    except BaseException:
        tx.connection.execute("ROLLBACK TO verb")
        raise
    finally:
        if tx.connection.in_transaction:
            tx.connection.execute("RELEASE verb")

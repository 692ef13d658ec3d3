"""Requests: a plan with requester, reason, state and decisions; the states, and the lettered arrows between them.

`TRANSITIONS` is the whole state machine: the architecture page's table is made from it, and `bot.model.transitions` holds the
pure function that walks each arrow. What no arrow names cannot happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.people import Person
from bot.model.plans import Plan
from bot.model.restores import Wanted
from bot.model.targets import Target


class State(StrEnum):
    """Where a request stands."""

    PLANNING = "planning"
    REFUSED = "refused"
    PROPOSED = "proposed"
    PENDING = "pending"
    APPROVED = "approved"
    RUNNING = "running"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    VOID = "void"
    INTERRUPTED = "interrupted"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether no arrow leads out of this state."""
        return self in {
            State.REFUSED,
            State.SUCCEEDED,
            State.DENIED,
            State.EXPIRED,
            State.CANCELLED,
            State.VOID,
            State.FAILED,
        }


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow of the state diagram; `source` None is where a request begins. `verb` is the function that walks it."""

    letter: str
    source: State | None
    target: State
    verb: str
    meaning: str


def _arrows(letter: str, sources: tuple[State, ...], target: State, verb: str, meaning: str) -> tuple[Arrow, ...]:
    return tuple(Arrow(letter, source, target, verb, meaning) for source in sources)


TRANSITIONS: tuple[Arrow, ...] = (
    Arrow("a", None, State.PLANNING, "ask", "somebody asked; a run makes the plan"),
    Arrow("b", State.PLANNING, State.PROPOSED, "propose", "the plan is made and shown to the requester"),
    Arrow(
        "c", State.PLANNING, State.REFUSED, "refuse", "there is no such plan: the nearest reachable times are offered"
    ),
    Arrow(
        "d", State.PROPOSED, State.PENDING, "confirm", "the requester sent the plan with a reason; approvers are asked"
    ),
    Arrow("e", State.PROPOSED, State.APPROVED, "confirm", "the same from the host, beside, where the quorum is 0"),
    Arrow("f", State.PENDING, State.APPROVED, "approve", "enough distinct humans, none of them the requester, agreed"),
    Arrow("g", State.PENDING, State.DENIED, "deny", "an approver said no, with a reason"),
    *_arrows(
        "h",
        (State.PLANNING, State.PROPOSED, State.PENDING),
        State.EXPIRED,
        "expire",
        "nobody planned, confirmed or decided in time",
    ),
    Arrow("i", State.APPROVED, State.EXPIRED, "expire", "approved, and no executor claimed it in time"),
    *_arrows(
        "j",
        (State.PLANNING, State.PROPOSED, State.PENDING, State.APPROVED),
        State.CANCELLED,
        "cancel",
        "its requester, an approver or the host stopped it before anything was done",
    ),
    Arrow("k", State.APPROVED, State.RUNNING, "claim", "the executor checked everything again and took it"),
    Arrow("l", State.APPROVED, State.VOID, "void", "no longer as planned: steps, facts, rights or policy changed"),
    Arrow("m", State.RUNNING, State.VERIFYING, "verify", "recovery reached its target; the checks run"),
    Arrow("n", State.VERIFYING, State.SUCCEEDED, "succeed", "the checks are done and the result is reported"),
    *_arrows(
        "o",
        (State.RUNNING, State.VERIFYING, State.INTERRUPTED),
        State.FAILED,
        "fail",
        "it was tried and did not work, or was given up",
    ),
    *_arrows(
        "p",
        (State.PLANNING, State.RUNNING, State.VERIFYING),
        State.INTERRUPTED,
        "interrupt",
        "the process that worked on it died",
    ),
    *(
        Arrow("q", State.INTERRUPTED, state, "resume", "a new process takes it up where it was left")
        for state in (State.PLANNING, State.RUNNING, State.VERIFYING)
    ),
    *_arrows(
        "r",
        (State.RUNNING, State.VERIFYING),
        State.CANCELLED,
        "cancel",
        "it was stopped while it ran; what was begun beside is undone",
    ),
)
"""Every arrow there is (`letter`, from, to, the verb, the meaning); one letter per meaning."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One person's word on a request: `verdict` is `approve` or `deny`; `reason` may be empty for an approval.

    `name` is what the person was called then; `steps_hash` is the plan they read.
    """

    by: Person
    verdict: str
    reason: str
    at: datetime
    name: str = ""
    steps_hash: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the ledger keeps it; times are aware UTC.

    `version` counts changes and guards every update. `expires_at` is when the present state lapses (None: it does not).
    `outcome` is JSON for people: the result of a success, or an error's `as_json()` plus `nearest` (reachable times) for a refusal
    or failure. `resume_state` is the state an interrupted request left. `asked_in` is the Slack channel id of the command, if any.
    `pending_at` is when approvers were asked, `woken_at` when they were asked again.
    `target` is where a recovery goes back to, or for the verb `restore` what is wanted of which backup.
    `destination` is what was asked for: `{"kind": "beside", "directory": path or None, "port": number or None}`,
    `{"kind": "database", "database": name}`, or `{"kind": "schema", "database": name, "schema": name}`.
    """

    id: RequestId
    verb: str
    cluster: ClusterName
    state: State
    version: int
    requester: Person
    requester_name: str
    reason: str
    target: Target | Wanted
    target_text: str
    destination: dict[str, Any]
    created_at: datetime
    changed_at: datetime
    quorum: int
    expires_at: datetime | None = None
    plan: Plan | None = None
    decisions: tuple[Decision, ...] = ()
    run: RunId | None = None
    resume_state: State | None = None
    outcome: dict[str, Any] | None = None
    asked_in: str | None = None
    woken_at: datetime | None = None
    pending_at: datetime | None = None

    @property
    def noun(self) -> str:
        """What sentences call it: a recovery, a restore or an undo."""
        return {"pitr": "recovery"}.get(self.verb, self.verb)

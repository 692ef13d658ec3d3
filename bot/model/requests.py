"""Requests: a plan with requester, reason, state and decisions, and the transitions between the states.

The states and arrows are those of the architecture page; each transition is a pure function over a frozen value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.people import Person
from bot.model.plans import Plan
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
    `destination` is what was asked for: `{"kind": "beside", "directory": path or None, "port": number or None}`.
    """

    id: RequestId
    verb: str
    cluster: ClusterName
    state: State
    version: int
    requester: Person
    requester_name: str
    reason: str
    target: Target
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

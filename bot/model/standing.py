"""Where a request stands, said to a person: the sentence the loser of a race is told."""

from __future__ import annotations

from datetime import datetime

from bot.model.requests import Request, State


def standing(request: Request, at: datetime) -> str:
    """Return one sentence on how the request came to be where it is: `Carol approved this 12 s ago.` Pure."""
    when = ago(request.changed_at, at)
    outcome = request.outcome or {}
    match request.state:
        case State.PLANNING:
            return "Its plan is still being made."
        case State.PROPOSED:
            return f"It waits for {request.requester_name} to confirm it."
        case State.PENDING:
            return "It waits for approval."
        case State.APPROVED:
            return f"{_approvers(request)} approved this {when}."
        case State.RUNNING | State.VERIFYING:
            return f"{_approvers(request)} approved this, and it is {request.state.value} since {when.removesuffix(' ago')}."
        case State.DENIED:
            return f"{_who(outcome)} denied this {when}."
        case State.CANCELLED:
            return f"{_who(outcome)} cancelled this {when}."
        case State.EXPIRED:
            return f"It expired {when}."
        case State.VOID:
            return f"It was no longer as planned {when}, so it is void."
        case State.INTERRUPTED:
            return f"It was interrupted {when}."
        case State.REFUSED | State.SUCCEEDED | State.FAILED:
            return f"It {_ENDED[request.state]} {when}."


def next_step(request: Request) -> str:
    """Return the hint that goes with `standing`."""
    if request.state is State.PROPOSED:
        return "Confirm it from the card in your messages."
    return "Ask again from its card." if request.state.ended else "Look at its card."


def ago(then: datetime, at: datetime) -> str:
    """Return how long ago `then` was, in one unit: `12 s ago`, `5 min ago`, `3 h ago`, `2 days ago`. Pure."""
    seconds = max(0, int((at - then).total_seconds()))
    for limit, unit_s, word in ((90, 1, "s"), (90 * 60, 60, "min"), (36 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit_s} {word} ago" if seconds else "just now"
    return f"{seconds // 86400} days ago"


_ENDED = {State.REFUSED: "was refused", State.SUCCEEDED: "succeeded", State.FAILED: "failed"}


def _approvers(request: Request) -> str:
    names = [d.name or d.by.user for d in request.decisions if d.verdict == "approve"]
    if not names:
        return f"{request.requester_name}, on the host,"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _who(outcome: dict[str, object]) -> str:
    return str(outcome.get("by_name") or outcome.get("by") or "Somebody")

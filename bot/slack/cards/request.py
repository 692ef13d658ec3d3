"""The card of a request: what was asked, the plan, where it stands, and what each reader can press."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.model.kept import Kept
from bot.model.requests import Decision, Request, State
from bot.model.runs import Run
from bot.model.servers import Server, ServerState
from bot.model.transitions import MAX_REASON, must_type_cluster
from bot.slack.blocks import Button, Card, Message
from bot.slack.cards import actions
from bot.slack.cards.help import escape_hint
from bot.slack.cards.kept import kept_buttons, kept_lines
from bot.slack.cards.plan import plan_lines, plan_note, target_line
from bot.slack.cards.result import result_lines, server_lines
from bot.slack.hints import in_slack
from bot.slack.text import code, count, escape, mention_approver, moment, moments, named

APPROVALS, RESULTS = "approvals", "results"
_TITLES = {
    State.PLANNING: "⏳ Planning a {what} of {cluster}",
    State.REFUSED: "🚫 No such {what} of {cluster}",
    State.PROPOSED: "📝 {What} of {cluster}: the plan is ready",
    State.PENDING: "🔔 {What} of {cluster}: waiting for approval",
    State.APPROVED: "👍 {What} of {cluster}: approved, about to start",
    State.RUNNING: "▶️ {What} of {cluster}: running",
    State.VERIFYING: "🔎 {What} of {cluster}: brought back, checking",
    State.SUCCEEDED: "✅ {What} of {cluster}: done",
    State.DENIED: "✋ {What} of {cluster}: denied",
    State.EXPIRED: "⌛ {What} of {cluster}: expired",
    State.CANCELLED: "⏹️ {What} of {cluster}: cancelled",
    State.VOID: "♻️ {What} of {cluster}: no longer as planned",
    State.INTERRUPTED: "⚠️ {What} of {cluster}: interrupted",
    State.FAILED: "❌ {What} of {cluster}: failed",
}
_AGAIN = {State.REFUSED, State.EXPIRED, State.VOID, State.INTERRUPTED, State.FAILED, State.DENIED, State.CANCELLED}
_PLANNING = {
    "recovery": "Reading the repository and the WAL for the exact place to stop.",
    "restore": "Reading the backup, and looking at the place it goes to.",
    "undo": "Looking whether the kept database can have its name back.",
}
_MAX_DECISIONS = 12


@dataclass(frozen=True, slots=True)
class RequestView:
    """What the ledger says about a request: its row, its run and server, how many people can approve, and who they are."""

    request: Request
    run: Run | None = None
    server: Server | None = None
    asked: int = 0
    approvers: tuple[str, ...] = ()
    kept: Kept | None = None


def request_card(view: RequestView, *, place: str) -> Message:
    """Render a request for a place: `approvals` (the channel) or `dm:<user>` (its requester). Pure."""
    request = view.request
    card = Card(_title(request), key=f"{request.id}.{request.version}")
    card.lines(*_state_lines(view, place))
    card.lines(*_asked_lines(request))
    if request.plan and request.state is not State.REFUSED:
        card.divider().lines(*plan_lines(request.plan))
    card.lines(*_decision_lines(request))
    card.note(" · ".join(_small_print(request)))
    return card.buttons(*_buttons(view, place)).message()


def _title(request: Request) -> str:
    noun = request.noun
    return _TITLES[request.state].format(what=noun, What=noun.capitalize(), cluster=request.cluster)


def _asked_lines(request: Request) -> list[str]:
    reason = escape(request.reason, MAX_REASON) if request.reason else "not given yet"
    name = f" ({escape(request.requester_name, 80)})" if request.requester_name else ""
    return [
        f"*Asked by* {named(request.requester)}{name}",
        f"*Reason* {reason}",
        target_line(request.target, request.target_text),
    ]


def _small_print(request: Request) -> list[str]:
    parts = [f"Request `{request.id}`"]
    if request.plan:
        parts.append(plan_note(request.plan))
    if request.run:
        parts.append(f"run {code(request.run, 100)}")
    return parts


def _state_lines(view: RequestView, place: str) -> list[str]:
    """Say where the request stands and what happens next."""
    request = view.request
    match request.state:
        case State.PLANNING:
            return [f"{_PLANNING[request.noun]} This card changes when the plan is ready."]
        case State.PROPOSED:
            return [_proposed(request)]
        case State.PENDING:
            return _pending(view, place)
        case State.APPROVED:
            return ["Enough people agreed. The executor checks that the plan still holds, then starts."]
        case State.RUNNING | State.VERIFYING:
            return [
                "Steps and times are in the thread below."
                if place == APPROVALS
                else "Steps and times are in the approvals channel."
            ]
        case State.SUCCEEDED:
            return [
                *result_lines(request.outcome or {}),
                *server_lines(view.server, request.outcome),
                *kept_lines(view.kept),
            ]
        case State.DENIED:
            return [_denied(request)]
        case State.EXPIRED:
            return [f"Nobody went on with it in time; it lapsed at {moment(request.changed_at)}. Nothing was done."]
        case State.CANCELLED:
            return [f"It was stopped at {moment(request.changed_at)}.", *_error_lines(request.outcome)]
        case _:
            return _trouble(request)


def _proposed(request: Request) -> str:
    lapses = f" The plan is kept until {moment(request.expires_at)}." if request.expires_at else ""
    if request.reason:
        return f"Is this what you need? *Send for approval* asks the approvers.{lapses}"
    return f"Is this what you need? Give a reason, and the approvers are asked.{lapses}"


def _pending(view: RequestView, place: str) -> list[str]:
    request = view.request
    given = sum(decision.verdict == "approve" for decision in request.decisions)
    lines = [f"{count(max(request.quorum - given, 0), 'approval')} of {request.quorum} still needed."]
    if place == APPROVALS:
        asked = [found for entry in view.approvers[:10] if (found := mention_approver(entry))]
        who = ", ".join(asked) if asked else "An approver"
        lines = [f"{who}: please read the plan and decide. {lines[0]}"]
    elif view.asked or request.woken_at:
        nobody = ", nobody yet" if not request.decisions else ""
        lines.append(f"{count(view.asked, 'person', 'people')} asked{nobody}.")
    if request.woken_at:
        lines.append(f"They were woken at {moment(request.woken_at)}.")
    if request.expires_at:
        lines.append(f"It lapses at {moment(request.expires_at)}.")
    return lines


def _denied(request: Request) -> str:
    said = next((decision for decision in request.decisions if decision.verdict == "deny"), None)
    if said is None:
        return "It was denied. Nothing was done."
    return f"{named(said.by)} said no: {escape(said.reason, MAX_REASON)}. Nothing was done."


def _trouble(request: Request) -> list[str]:
    opening = {
        State.REFUSED: "",
        State.VOID: "It was approved, but what the plan stood on has changed, so nothing was done.",
        State.INTERRUPTED: "Its process ended before it was done. It is taken up again or ended; nothing was overwritten.",
        State.FAILED: "It did not succeed. Nothing that was there before was touched.",
    }[request.state]
    if request.state is State.FAILED and must_type_cluster(request):
        opening = "It did not succeed. Nothing that was there before is gone:"
    return [opening, *_error_lines(request.outcome), *_nearest_lines(request.outcome)]


def _error_lines(outcome: dict[str, Any] | None) -> list[str]:
    if not outcome or "message" not in outcome:
        return []
    reasons = [f"• {moments(escape(str(reason), 400))}" for reason in list(outcome.get("reasons", []))[:8]]
    hint = in_slack(str(outcome.get("hint", "")))
    return [moments(escape_hint(str(outcome["message"]))), *reasons, f"→ {moments(escape_hint(hint))}" if hint else ""]


def _nearest_lines(outcome: dict[str, Any] | None) -> list[str]:
    nearest = nearest_times(outcome)
    return [f"*Nearest reachable* {' or '.join(moments(escape(time, 80)) for time in nearest[:4])}"] if nearest else []


def nearest_times(outcome: dict[str, Any] | None) -> list[str]:
    """Return the nearest reachable targets an outcome names, as text one could type."""
    found = (outcome or {}).get("nearest") or []
    items = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else [found]
    return [str(item) for item in items if item]


def _decision_lines(request: Request) -> list[str]:
    return [_decision(decision) for decision in request.decisions[:_MAX_DECISIONS]]


def _decision(decision: Decision) -> str:
    word = "Approved" if decision.verdict == "approve" else "Denied"
    why = f": {escape(decision.reason, MAX_REASON)}" if decision.reason else ""
    return f"*{word} by* {named(decision.by)} at {moment(decision.at)}{why}"


def _buttons(view: RequestView, place: str) -> list[Button | None]:
    request = view.request
    own = place.startswith("dm:")
    match request.state:
        case State.PLANNING | State.APPROVED:
            return [actions.cancel(request.id)] if own else []
        case State.PROPOSED:
            return _proposed_buttons(request) if own else []
        case State.PENDING:
            return [actions.cancel(request.id)] if own else [_approve(request), actions.deny(request.id)]
        case State.RUNNING | State.VERIFYING:
            return [actions.cancel(request.id, running=True)] if own else []
        case State.SUCCEEDED:
            return [*server_buttons(view.server), *kept_buttons(view.kept)] if place != RESULTS else []
        case _:
            # An undo is asked for again where it was the first time: at what is kept.
            return [actions.ask_again(request.id)] if request.state in _AGAIN and request.verb != "undo" else []


def _approve(request: Request) -> Button:
    return actions.approve_typed(request.id) if must_type_cluster(request) else actions.approve(request.id)


def _proposed_buttons(request: Request) -> list[Button | None]:
    return [
        actions.confirm_with_reason(request.id) if request.reason else None,
        actions.give_reason(request.id, first=not request.reason),
        actions.cancel(request.id),
    ]


def server_buttons(server: Server | None) -> list[Button | None]:
    """Return what can be done with a server beside."""
    if server is None or server.state is ServerState.REMOVED:
        return []
    running = server.state is ServerState.RUNNING
    return [
        actions.extend(server.id) if running else None,
        actions.stop(server.id) if running else None,
        actions.remove(server.id),
    ]

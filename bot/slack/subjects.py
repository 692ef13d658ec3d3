"""From a card's row to its message: read what the ledger says about the subject now, and render it."""

from __future__ import annotations

from collections.abc import Callable

from bot.ledger import Tx, alerts, cards, kept, pauses, people, rehearsals, requests, runs, servers
from bot.model.ids import AlertId, ClusterName, RequestId, RunId
from bot.model.people import Policy
from bot.model.requests import Request
from bot.model.runs import Job
from bot.slack.blocks import Message
from bot.slack.cards import (
    RequestView,
    alert_card,
    call_card,
    digest_card,
    drill_checklist,
    kept_card,
    pause_card,
    rehearsal_card,
    request_card,
    run_card,
    run_progress,
    server_card,
    wake_card,
)

Policies = Callable[[ClusterName], Policy | None]
"""The policy of a cluster, or None when it is not configured any more."""


def render(tx: Tx, card: cards.Card, policies: Policies, *, link: str = "", oncall: str = "") -> Message | None:
    """Return what a card shows now, or None when nothing knows how to show its subject. Reads the ledger only.

    `link` leads a DM to its card; `oncall` is whom alerts that page mention.
    """
    match card.subject_kind:
        case "request":
            return request_card(request_view(tx, RequestId(card.subject), policies), place=card.place)
        case "run":
            return _run(tx, card)
        case "server":
            return server_card(servers.get(tx, RequestId(card.subject)))
        case "kept":
            return kept_card(kept.get(tx, RequestId(card.subject)))
        case "wake":
            request = requests.get(tx, RequestId(card.subject))
            return wake_card(request, place=card.place, approvers=_approvers(request, policies), link=link)
        case "alert":
            return alert_card(alerts.get(tx, AlertId(card.subject)), oncall=oncall)
        case "call":
            alert, _, number = card.subject.partition(":")
            return call_card(alerts.get(tx, AlertId(alert)), number, oncall=oncall)
        case "pause":
            return pause_card(pauses.get(tx, card.subject))
    return None


def request_view(tx: Tx, request_id: RequestId, policies: Policies) -> RequestView:
    """Gather what the request's card needs."""
    request = requests.get(tx, request_id)
    return RequestView(
        request=request,
        run=runs.get(tx, request.run) if request.run else None,
        server=servers.find(tx, request.id),
        kept=kept.find(tx, request.id),
        asked=_asked(tx, request, policies),
        approvers=_approvers(request, policies),
    )


def parent_of(tx: Tx, place: str) -> cards.Card | None:
    """Return the card whose thread a place is.

    `thread:alert:<id>` has the alert's, `thread:run:<id>` the run's in the results channel, `thread:request:<id>` the request's in
    the approvals channel, else the requester's. None when Slack would take neither.
    """
    if place.startswith("thread:run:"):
        shown = cards.of_subject(tx, "run", place.removeprefix("thread:run:"))
        return next((card for card in shown if card.place == "results" and not card.failed), None)
    if place.startswith("thread:alert:"):
        alerted = cards.of_subject(tx, "alert", place.removeprefix("thread:alert:"))
        return next((card for card in alerted if not card.failed), None)
    own = cards.of_subject(tx, "request", place.removeprefix("thread:request:"))
    in_channel = next((card for card in own if card.place == "approvals" and not card.failed), None)
    return in_channel or next((card for card in own if card.place.startswith("dm:") and not card.failed), None)


def _run(tx: Tx, card: cards.Card) -> Message:
    run = runs.get(tx, RunId(card.subject))
    if card.place.startswith("thread:run:"):
        return drill_checklist(run)
    if card.place.startswith("thread:"):
        return run_progress(run, requests.get(tx, run.request).noun if run.job is Job.EXECUTE and run.request else "")
    if run.job is Job.DIGEST:
        return digest_card(run)
    if run.job is Job.REHEARSAL:
        return rehearsal_card(run, rehearsals.of_run(tx, run.id))
    return run_card(run)


def _approvers(request: Request, policies: Policies) -> tuple[str, ...]:
    policy = policies(request.cluster)
    return policy.approvers if policy else ()


def _asked(tx: Tx, request: Request, policies: Policies) -> int:
    """Count the distinct people who could approve, as far as the ledger knows them."""
    entries = _approvers(request, policies)
    users = {entry for entry in entries if entry[:1] in {"U", "W"}}
    for group in people.groups(tx, [entry for entry in entries if entry.startswith("S")]).values():
        users.update(member.user for member in group.members)
    return len(users - {request.requester.user})

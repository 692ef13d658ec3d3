"""Requests from Slack: asked for, decided, and their servers looked after. From an item of the inbox to one verb of the desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from bot import desk
from bot.errors import Usage
from bot.ledger import Ledger, inbox, requests
from bot.model.callers import Caller
from bot.model.commands import AskPitr, parse_pitr
from bot.model.ids import ClusterName, RequestId
from bot.model.requests import Request
from bot.model.targets import Target
from bot.slack.blocks import Message
from bot.slack.cards import actions
from bot.slack.text import code, escape
from handlers.facts import caller_on, card_shows, fetch_facts, note
from handlers.payloads import Doer
from handlers.wiring import Wiring

BESIDE: dict[str, Any] = {"kind": "beside", "directory": None, "port": None}
EXTENSION = timedelta(hours=24)

Decision = Callable[[Ledger, Caller, Request, dict[str, Any]], object]
"""What is decided on a request; the last is what was filled in."""

PITR_TYPED, PITR_FORM = "pitr.typed", "pitr.form"


def _pitr_typed(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    """`/pitr CLUSTER TARGET`: read in the person's own time zone, as of the moment it was typed."""
    text = str(item.payload["text"])
    facts = fetch_facts(wiring, doer.who, [])
    cluster = text.split(None, 1)[0].lower() if text.split() else None
    zone = wiring.zone(facts.person.timezone if facts.person else None, cluster)
    try:
        asked = parse_pitr(text, clusters=wiring.config.clusters, now=item.received_at, zone=zone)
    except Usage as error:
        note(wiring, doer, "pitr", text, error)
        raise
    if not isinstance(asked, AskPitr):
        raise Usage("There is no target.", hint="See `/pitr help`.", code="bad-target")
    return _ask(wiring, item, doer, asked)


def _pitr_form(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    """The form for a recovery, whose target was read when it was sent."""
    given = item.payload
    target, cluster = Target.from_json(given["target"]), ClusterName(given["cluster"])
    return _ask(wiring, item, doer, AskPitr(cluster, target, str(given["target_text"]), str(given["reason"])))


def _ask(wiring: Wiring, item: inbox.Item, doer: Doer, asked: AskPitr) -> Message:
    request = desk.ask(
        wiring.ledger,
        caller_on(wiring, item, doer, asked.cluster),
        verb="pitr",
        cluster=asked.cluster,
        target=asked.target,
        target_text=asked.target_text,
        destination=BESIDE,
        reason=asked.reason,
        asked_in=doer.channel or None,
    )
    read = f", read as {escape(asked.target.read_as, 200)}" if asked.target.read_as else ""
    return Message(
        f"Making a plan for {code(asked.cluster, 80)}, target {code(asked.target_text, 120)}{read}. "
        f"It comes to you as a direct message in a moment (request `{request.id}`)."
    )


def _decide(verb: Decision, *, reason_required: bool = False) -> Callable[[Wiring, inbox.Item, Doer], Message | None]:
    """Return the handler of a click on a request's card, or of the form it opened; `verb` also gets what was filled in."""

    def handle(wiring: Wiring, item: inbox.Item, doer: Doer) -> None:
        request_id = RequestId(str(item.payload["request"]))
        if not item.payload.get("token"):
            card_shows(wiring, doer, request_id)
        with wiring.ledger.read() as tx:
            request = requests.get(tx, request_id)
        if reason_required and not str(item.payload.get("reason", "")).strip():
            raise Usage("A reason is needed.", hint="Why?", code="reason-missing")
        verb(wiring.ledger, caller_on(wiring, item, doer, request.cluster), request, item.payload)

    return handle


def _confirm(ledger: Ledger, caller: Caller, request: Request, given: dict[str, Any]) -> None:
    desk.confirm(ledger, caller, request.id, reason=str(given.get("reason") or request.reason))


def _approve(ledger: Ledger, caller: Caller, request: Request, given: dict[str, Any]) -> None:
    desk.approve(ledger, caller, request.id, typed=str(given.get("typed", "")))


def _deny(ledger: Ledger, caller: Caller, request: Request, given: dict[str, Any]) -> None:
    desk.deny(ledger, caller, request.id, reason=str(given["reason"]))


def _bare(verb: Callable[[Ledger, Caller, RequestId], object]) -> Decision:
    """Return a verb for which nothing is filled in."""
    return lambda ledger, caller, request, _given: verb(ledger, caller, request.id)


VERBS: dict[str, Callable[[Wiring, inbox.Item, Doer], Message | None]] = {
    PITR_TYPED: _pitr_typed,
    PITR_FORM: _pitr_form,
    actions.CONFIRM: _decide(_confirm),
    actions.REASON_FORM: _decide(_confirm, reason_required=True),
    actions.APPROVE: _decide(_approve),
    actions.APPROVE_FORM: _decide(_approve),
    actions.DENY_FORM: _decide(_deny, reason_required=True),
    actions.CANCEL: _decide(_bare(desk.cancel)),
    actions.EXTEND: _decide(_bare(partial(desk.extend_server, extension=EXTENSION))),
    actions.STOP: _decide(_bare(desk.stop_server)),
    actions.REMOVE: _decide(_bare(desk.remove_server)),
}

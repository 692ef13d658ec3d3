"""Requests from Slack: asked for, decided, and their servers looked after. From an item of the inbox to one verb of the desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from bot import desk
from bot.errors import Usage
from bot.ledger import inbox, requests
from bot.model.commands import AskPitr, parse_pitr
from bot.model.ids import ClusterName, RequestId
from bot.model.requests import Request
from bot.model.targets import Target
from bot.slack.blocks import Message
from bot.slack.cards import actions
from bot.slack.text import code, escape
from handlers.facts import Told, card_shows, fetch_facts, note, policy_of, told_of
from handlers.payloads import Doer
from handlers.wiring import Wiring

BESIDE: dict[str, Any] = {"kind": "beside", "directory": None, "port": None}
EXTENSION = timedelta(hours=24)

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
    return _ask(wiring, item, doer, asked.cluster, asked.target, asked.target_text, asked.reason)


def _pitr_form(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    """The form for a recovery, whose target was read when it was sent."""
    given = item.payload
    target = Target.from_json(given["target"])
    cluster, text, reason = ClusterName(given["cluster"]), str(given["target_text"]), str(given["reason"])
    return _ask(wiring, item, doer, cluster, target, text, reason, token=str(given["token"]))


def _ask(
    wiring: Wiring,
    item: inbox.Item,
    doer: Doer,
    cluster: ClusterName,
    target: Target,
    target_text: str,
    reason: str,
    token: str | None = None,
) -> Message:
    policy = policy_of(wiring, cluster)
    request = desk.ask(
        wiring.ledger,
        key=item.key,
        at=wiring.now(),
        by=doer.who,
        verb="pitr",
        cluster=cluster,
        target=target,
        target_text=target_text,
        destination=BESIDE,
        reason=reason,
        entropy=wiring.entropy(16),
        asked_in=doer.channel or None,
        token=token,
        **told_of(wiring, doer, policy),
    )
    read = f", read as {escape(target.read_as, 200)}" if target.read_as else ""
    return Message(
        f"Making a plan for {code(cluster, 80)}, target {code(target_text, 120)}{read}. "
        f"It comes to you as a direct message in a moment (request `{request.id}`)."
    )


def _decide(
    verb: Callable[[Wiring, inbox.Item, Doer, Request, Told], None], *, reason_required: bool = False
) -> Callable[[Wiring, inbox.Item, Doer], Message | None]:
    """Return the handler of a click on a request's card, or of the form it opened."""

    def handle(wiring: Wiring, item: inbox.Item, doer: Doer) -> None:
        request_id = RequestId(str(item.payload["request"]))
        if not item.payload.get("token"):
            card_shows(wiring, doer, request_id)
        with wiring.ledger.read() as tx:
            request = requests.get(tx, request_id)
        if reason_required and not str(item.payload.get("reason", "")).strip():
            raise Usage("A reason is needed.", hint="Why?", code="reason-missing")
        verb(wiring, item, doer, request, told_of(wiring, doer, policy_of(wiring, request.cluster)))

    return handle


def _confirm(wiring: Wiring, item: inbox.Item, doer: Doer, request: Request, told: Told) -> None:
    token = item.payload.get("token")
    reason = str(item.payload.get("reason") or request.reason)
    desk.confirm(
        wiring.ledger,
        key=item.key,
        request_id=request.id,
        by=doer.who,
        reason=reason,
        at=wiring.now(),
        token=token,
        **told,
    )


def _approve(wiring: Wiring, item: inbox.Item, doer: Doer, request: Request, told: Told) -> None:
    desk.approve(
        wiring.ledger,
        key=item.key,
        request_id=request.id,
        by=doer.who,
        at=wiring.now(),
        token=item.payload.get("token"),
        typed=str(item.payload.get("typed", "")),
        **told,
    )


def _deny(wiring: Wiring, item: inbox.Item, doer: Doer, request: Request, told: Told) -> None:
    reason, token = str(item.payload["reason"]), item.payload.get("token")
    desk.deny(
        wiring.ledger,
        key=item.key,
        request_id=request.id,
        by=doer.who,
        reason=reason,
        at=wiring.now(),
        token=token,
        **told,
    )


def _cancel(wiring: Wiring, item: inbox.Item, doer: Doer, request: Request, told: Told) -> None:
    desk.cancel(wiring.ledger, key=item.key, request_id=request.id, by=doer.who, at=wiring.now(), **told)


def _extend(wiring: Wiring, item: inbox.Item, doer: Doer, request: Request, told: Told) -> None:
    desk.extend_server(
        wiring.ledger, key=item.key, server_id=request.id, by=doer.who, at=wiring.now(), extension=EXTENSION, **told
    )


def _stop(wiring: Wiring, item: inbox.Item, doer: Doer, request: Request, told: Told) -> None:
    entropy = wiring.entropy(16)
    desk.stop_server(
        wiring.ledger, key=item.key, server_id=request.id, by=doer.who, at=wiring.now(), entropy=entropy, **told
    )


def _remove(wiring: Wiring, item: inbox.Item, doer: Doer, request: Request, told: Told) -> None:
    entropy = wiring.entropy(16)
    desk.remove_server(
        wiring.ledger, key=item.key, server_id=request.id, by=doer.who, at=wiring.now(), entropy=entropy, **told
    )


VERBS: dict[str, Callable[[Wiring, inbox.Item, Doer], Message | None]] = {
    PITR_TYPED: _pitr_typed,
    PITR_FORM: _pitr_form,
    actions.CONFIRM: _decide(_confirm),
    actions.REASON_FORM: _decide(_confirm, reason_required=True),
    actions.APPROVE: _decide(_approve),
    actions.APPROVE_FORM: _decide(_approve),
    actions.DENY_FORM: _decide(_deny, reason_required=True),
    actions.CANCEL: _decide(_cancel),
    actions.EXTEND: _decide(_extend),
    actions.STOP: _decide(_stop),
    actions.REMOVE: _decide(_remove),
}

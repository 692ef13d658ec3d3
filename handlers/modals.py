"""Forms: opened as a loading view within three seconds, then authorized, then filled; what is sent is checked in the ack."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from slack_bolt import App

from bot.errors import Conflict, PitstopError, Refused, Usage
from bot.ledger import modal_tokens, people, requests
from bot.model.again import again
from bot.model.commands import known_cluster, parse_target
from bot.model.ids import RequestId
from bot.model.people import Person
from bot.model.policy import Action, Identities, authorize
from bot.model.requests import Request, State
from bot.model.standing import next_step, standing
from bot.slack import forms
from bot.slack.cards import actions
from bot.slack.client import SlackAnswered, call
from bot.slack.forms import PitrDraft, View
from bot.slack.hints import in_slack
from handlers.edge import edged, errand
from handlers.facts import Facts, card_shows, explained, fetch_facts, known_zone, note
from handlers.payloads import Body, Doer, delivery_key, from_interaction
from handlers.recording import NotRecorded
from handlers.request_verbs import PITR_FORM as PITR_KIND
from handlers.wiring import Wiring

TOKEN_LIFETIME = timedelta(minutes=30)
_PITR_TITLE, _REASON_TITLE, _DENY_TITLE = "Point-in-time recovery", "Send for approval", "Deny the recovery"
_APPROVE_TITLE = "Approve in place"


def open_pitr_form(wiring: Wiring, doer: Doer, trigger: str, draft: PitrDraft) -> None:
    """Open the form for a new recovery."""
    open_form(wiring, doer, trigger, _PITR_TITLE, lambda: _pitr_view(wiring, doer, draft))


def open_again_form(wiring: Wiring, doer: Doer, trigger: str, request_id: str) -> None:
    """Open the form filled in like an earlier request, with the nearest reachable target where one is known."""

    def fill() -> View:
        card_shows(wiring, doer, request_id)
        request = _request(wiring, request_id)
        offered = again(request)
        if offered is None:
            raise Conflict(standing(request, wiring.now()), hint=next_step(request), code="changed")
        return _pitr_view(wiring, doer, PitrDraft(offered.cluster, offered.target_text, offered.reason))

    open_form(wiring, doer, trigger, _PITR_TITLE, fill)


def open_reason_form(wiring: Wiring, doer: Doer, trigger: str, request_id: str) -> None:
    """Open the form that sends a plan with its reason; only for who asked."""

    def fill() -> View:
        request = _open_request(wiring, doer, request_id, Action.CONFIRM, State.PROPOSED)
        return forms.reason_form(request, token=token_for(wiring, doer.who, "confirm", request))

    open_form(wiring, doer, trigger, _REASON_TITLE, fill)


def open_deny_form(wiring: Wiring, doer: Doer, trigger: str, request_id: str) -> None:
    """Open the form that says no; only for approvers."""

    def fill() -> View:
        request = _open_request(wiring, doer, request_id, Action.DENY, State.PENDING)
        return forms.deny_form(request, token=token_for(wiring, doer.who, "deny", request))

    open_form(wiring, doer, trigger, _DENY_TITLE, fill)


def open_approve_form(wiring: Wiring, doer: Doer, trigger: str, request_id: str) -> None:
    """Open the form that says yes to something in place, in which the cluster's name is typed; only for approvers."""

    def fill() -> View:
        request = _open_request(wiring, doer, request_id, Action.APPROVE, State.PENDING)
        return forms.approve_form(request, token=token_for(wiring, doer.who, "approve", request))

    open_form(wiring, doer, trigger, _APPROVE_TITLE, fill)


def register(app: App, wiring: Wiring) -> None:
    """Listen to what forms send and ask."""
    app.view(actions.PITR_FORM)(edged(wiring, lambda ack, body: _on_pitr(wiring, ack, body)))
    app.view(actions.REASON_FORM)(edged(wiring, lambda ack, body: _on_reason(wiring, ack, body, actions.REASON_FORM)))
    app.view(actions.DENY_FORM)(edged(wiring, lambda ack, body: _on_reason(wiring, ack, body, actions.DENY_FORM)))
    app.view(actions.APPROVE_FORM)(edged(wiring, lambda ack, body: _on_approve(wiring, ack, body)))
    app.options(actions.CLUSTER_OPTIONS)(edged(wiring, lambda ack, body: _on_options(wiring, ack, body)))


def open_form(wiring: Wiring, doer: Doer, trigger: str, title: str, fill: Callable[[], View]) -> None:
    """Open a loading view now, and replace it by what `fill` makes, or by why it cannot be used."""
    opened = call(wiring.client, "views.open", trigger_id=trigger, view=forms.loading(title))["view"]

    def finish() -> None:
        try:
            view = fill()
        except PitstopError as error:
            view = forms.refusal(title, explained(wiring, doer, error))
        try:
            call(wiring.client, "views.update", view_id=opened["id"], hash=opened.get("hash"), view=view)
        except SlackAnswered as error:
            if error.slack_error != "not_found":  # the person has closed it meanwhile
                raise

    errand(wiring, doer, finish)


def _pitr_view(wiring: Wiring, doer: Doer, draft: PitrDraft) -> View:
    only, facts = admit(wiring, doer, draft.cluster)
    zone = wiring.zone(facts.person.timezone if facts.person else None, only)
    filled = PitrDraft(only, draft.target, draft.reason)
    return forms.pitr_form(filled, token=token_for(wiring, doer.who, "ask", None), zone=str(zone))


def admit(wiring: Wiring, doer: Doer, cluster: str) -> tuple[str, Facts]:
    """Authorize asking for the cluster that is filled in, or for any; return the one to fill in, and what is known of the person.

    Raises:
        Refused: they may not ask for any of them; the attempt is audited. Usage: there is no such cluster.
    """
    named = [known_cluster(cluster, wiring.config.clusters)] if cluster else list(wiring.config.clusters)
    policies = [wiring.config.cluster(name).policy for name in named]
    facts = fetch_facts(wiring, doer.who, policies)
    refusals = [_refusal(wiring, doer, policy, facts, Action.ASK, None) for policy in policies]
    first = next((refusal for refusal in refusals if refusal is not None), None)
    if first is not None and None not in refusals:
        note(wiring, doer, "form", cluster or "any", first)
        raise first
    if facts.person is not None:
        with wiring.ledger.transaction() as tx:
            people.put(tx, facts.person)
    return cluster or (next(iter(wiring.config.clusters)) if len(wiring.config.clusters) == 1 else ""), facts


def _open_request(wiring: Wiring, doer: Doer, request_id: str, action: Action, state: State) -> Request:
    """Return a request if this person may do this with it now.

    Raises:
        Refused: they may not, or the card is not its card. Conflict: it is in another state.
    """
    card_shows(wiring, doer, request_id)
    request = _request(wiring, request_id)
    policy = wiring.config.cluster(request.cluster).policy
    facts = fetch_facts(wiring, doer.who, [policy])
    refusal = _refusal(wiring, doer, policy, facts, action, request.requester)
    if refusal is not None:
        note(wiring, doer, f"form.{action.value}", request_id, refusal)
        raise refusal
    if request.state is not state:
        raise Conflict(standing(request, wiring.now()), hint=next_step(request), code="changed")
    return request


def _refusal(
    wiring: Wiring, doer: Doer, policy: Any, facts: Facts, action: Action, requester: Person | None
) -> Refused | None:
    return authorize(
        policy,
        action,
        doer.who,
        facts=facts.person,
        groups=facts.groups,
        requester=requester,
        at=wiring.now(),
        identities=Identities(wiring.identity.team, wiring.config.people),
    )


def _request(wiring: Wiring, request_id: str) -> Request:
    with wiring.ledger.read() as tx:
        return requests.get(tx, RequestId(request_id))


def token_for(wiring: Wiring, person: Person, purpose: str, request: Request | None) -> str:
    """Issue a one-use token and return what the form carries: the token, and whose request it is for the listener to find."""
    token = secrets.token_urlsafe(24)
    with wiring.ledger.transaction() as tx:
        modal_tokens.issue(
            tx,
            token,
            person=person,
            purpose=purpose,
            expires_at=wiring.now() + TOKEN_LIFETIME,
            request=request.id if request else None,
            version=request.version if request else None,
        )
    return f"{token} {request.id}" if request else token


def _on_pitr(wiring: Wiring, ack: Any, body: Body) -> None:
    """Read the form; what cannot be understood is said at its input, before the form closes."""
    doer = from_interaction(body)
    given = forms.filled_in((body.get("view") or {}).get("state") or {})
    now = wiring.now()
    try:
        payload = _read_pitr(wiring, doer, given, now)
    except AtInput as refused:
        block, error = refused.block, refused.error
        ack(response_action="errors", errors={block: plainly(f"{error.message} {in_slack(error.hint)}".strip())[:2000]})
        errand(wiring, doer, lambda: note(wiring, doer, "pitr", given.get(forms.TARGET, ""), error))
        return
    token = str((body.get("view") or {}).get("private_metadata", ""))
    record_form(wiring, ack, body, PITR_KIND, {**doer.as_json(), **payload, "token": token}, block=forms.TARGET)


def plainly(text: str) -> str:
    """Return text for below an input, where nothing is formatted: code spans become quotations."""
    return re.sub(r"`([^`]*)`", r"“\1”", text)


class AtInput(Exception):
    """A refusal that belongs to one input of the form."""

    def __init__(self, block: str, error: Usage) -> None:
        super().__init__(error.message)
        self.block, self.error = block, error


def _read_pitr(wiring: Wiring, doer: Doer, given: dict[str, str], now: datetime) -> dict[str, Any]:
    cluster, text, picked = given.get(forms.CLUSTER, ""), given.get(forms.TARGET, "").strip(), given.get(forms.AT, "")
    try:
        name = known_cluster(cluster, wiring.config.clusters)
    except Usage as error:
        raise AtInput(forms.CLUSTER, error) from None
    if bool(text) == bool(picked):
        what = "Write a target or pick a time, not both." if text else "Write a target or pick a time."
        raise AtInput(forms.TARGET, Usage(what, hint="For example 14:30 or before:xid:84213.", code="bad-target"))
    if picked:
        text = datetime.fromtimestamp(int(picked), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    zone = wiring.zone(known_zone(wiring, doer.who), name)
    try:
        target = parse_target(text, now=now, zone=zone)
    except Usage as error:
        raise AtInput(forms.AT if picked else forms.TARGET, error) from None
    return {
        "cluster": name,
        "target": target.as_json(),
        "target_text": text,
        "reason": given.get(forms.REASON, "").strip(),
    }


def _on_reason(wiring: Wiring, ack: Any, body: Body, kind: str) -> None:
    """Record a form that carries a reason: sending a plan, or saying no."""
    doer = from_interaction(body)
    view = body.get("view") or {}
    reason = forms.filled_in(view.get("state") or {}).get(forms.REASON, "").strip()
    if not reason:
        ack(response_action="errors", errors={forms.REASON: "A reason is needed."})
        return
    token, _, request = str(view.get("private_metadata", "")).partition(" ")
    payload = {**doer.as_json(), "request": request, "reason": reason, "token": token}
    record_form(wiring, ack, body, kind, payload, block=forms.REASON)


def _on_approve(wiring: Wiring, ack: Any, body: Body) -> None:
    """Record a form in which the cluster's name was typed; another name is said at its input, before the form closes."""
    doer = from_interaction(body)
    view = body.get("view") or {}
    typed = forms.filled_in(view.get("state") or {}).get(forms.TYPED, "").strip()
    token, _, request_id = str(view.get("private_metadata", "")).partition(" ")
    with wiring.ledger.read() as tx:
        cluster = requests.get(tx, RequestId(request_id)).cluster
    if typed != cluster:
        ack(response_action="errors", errors={forms.TYPED: f"That is not the name. It is {cluster}."})
        return
    payload = {**doer.as_json(), "request": request_id, "typed": typed, "token": token}
    record_form(wiring, ack, body, actions.APPROVE_FORM, payload, block=forms.TYPED)


def record_form(wiring: Wiring, ack: Any, body: Body, kind: str, payload: dict[str, Any], *, block: str) -> None:
    """Record what a form sent, before the acknowledgement closes it."""
    try:
        wiring.recorder.put(delivery_key(body), kind, payload)
    except NotRecorded as error:
        ack(response_action="errors", errors={block: error.message})
    else:
        ack()


def _on_options(wiring: Wiring, ack: Any, body: Body) -> None:
    """Answer the cluster picker from the configuration; options must ride in the acknowledgement."""
    ack(options=forms.cluster_options(wiring.config.clusters, str(body.get("value") or "")))

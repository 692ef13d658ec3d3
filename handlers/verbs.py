"""From an item of the inbox to one verb of the desk, with facts about the person fetched just now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict

from bot import desk
from bot.errors import PitstopError, Refused, Usage
from bot.ledger import cards, inbox, people, requests
from bot.model.commands import AskPitr, BackupNow, Verify, parse_backup, parse_pitr
from bot.model.ids import ClusterName, RequestId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import UNSURE, Identities, full_member, group_ids
from bot.model.requests import Request
from bot.model.runs import Job
from bot.model.targets import Target
from bot.slack.blocks import Message
from bot.slack.cards import actions
from bot.slack.client import SlackBusy
from bot.slack.people import fetch
from bot.slack.text import code, escape
from handlers.payloads import Doer
from handlers.wiring import Wiring

BESIDE: dict[str, Any] = {"kind": "beside", "directory": None, "port": None}
EXTENSION = timedelta(hours=24)

PITR_TYPED, PITR_FORM, BACKUP_NOW = "pitr.typed", "pitr.form", "backup.now"


@dataclass(frozen=True, slots=True)
class Facts:
    """What Slack just said about the person and the groups a policy names."""

    person: PersonFacts | None
    groups: Mapping[str, GroupFacts]


class Told(TypedDict):
    """What every verb that a person calls is told about them."""

    facts: PersonFacts | None
    groups: Mapping[str, GroupFacts]
    policy: Policy
    name: str
    people: Mapping[str, str]


def carry_out(wiring: Wiring, item: inbox.Item) -> Message | None:
    """Do what an item says; return what to tell the person, or None when the card tells it. Idempotent by the item's key.

    Raises:
        SlackBusy: Slack could not be asked about the person; try again.
        Usage, Refused, Conflict: it will not be done; the attempt is audited.
    """
    doer = Doer.from_json(item.payload)
    verb = _VERBS.get(item.kind)
    if verb is None:
        raise Usage(
            f"This version does not know {item.kind}.", hint="See `/backup help` or `/pitr help`.", code="unknown-kind"
        )
    try:
        return verb(wiring, item, doer)
    except Refused as error:
        raise explained(wiring, doer, error) from None


def explained(wiring: Wiring, doer: Doer, error: PitstopError) -> PitstopError:
    """Return a refusal that only says that nobody knew enough with Slack's own word, such as the scope the token lacks."""
    if error.reason_code not in UNSURE:
        return error
    groups = {group for cluster in wiring.config.clusters.values() for group in group_ids(cluster.policy)}
    fetched = fetch(wiring.client, people=[doer.who], groups=groups, team=wiring.identity.team, at=wiring.now())
    if not fetched.refused:
        return error
    word = fetched.refused[0]
    return Refused(f"Nobody can tell whether you may do this. {word.message}", hint=word.hint, code=error.reason_code)


def fetch_facts(wiring: Wiring, person: Person, policies: list[Policy]) -> Facts:
    """Ask Slack about a person and the groups of policies, now.

    Raises:
        SlackBusy: it could not be asked.
    """
    at = wiring.now()
    groups = {group for policy in policies for group in group_ids(policy)}
    fetched = fetch(wiring.client, people=[person], groups=groups, team=wiring.identity.team, at=at)
    if fetched.away and fetched.people.get(person) is None:
        raise SlackBusy("Slack could not be asked who you are.")
    return Facts(fetched.people.get(person), fetched.groups)


def require_member(wiring: Wiring, doer: Doer, action: str) -> None:
    """Make sure that somebody who only looks is a full member of our workspace; guests and other companies see no backups.

    Raises:
        Refused: they are not; the attempt is audited. SlackBusy: Slack could not be asked.
    """
    facts = fetch_facts(wiring, doer.who, []).person
    identities = Identities(wiring.identity.team, wiring.config.people)
    refusal = full_member(doer.who, facts=facts, at=wiring.now(), identities=identities)
    if refusal is not None:
        note(wiring, doer, action, "", refusal)
        raise refusal


def policy_of(wiring: Wiring, cluster: ClusterName) -> Policy:
    """Return a cluster's policy.

    Raises:
        Usage: it is not configured (any more).
    """
    return wiring.config.cluster(cluster).policy


def _told(wiring: Wiring, doer: Doer, policy: Policy) -> Told:
    facts = fetch_facts(wiring, doer.who, [policy])
    name = facts.person.name if facts.person else doer.name
    return Told(facts=facts.person, groups=facts.groups, policy=policy, name=name, people=wiring.config.people)


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
        **_told(wiring, doer, policy),
    )
    read = f", read as {escape(target.read_as, 200)}" if target.read_as else ""
    return Message(
        f"Making a plan for {code(cluster, 80)}, target {code(target_text, 120)}{read}. "
        f"It comes to you as a direct message in a moment (request `{request.id}`)."
    )


def _backup_now(wiring: Wiring, item: inbox.Item, doer: Doer) -> Message:
    """`/backup now CLUSTER [dump]`, `/backup verify CLUSTER [ID]`: whoever may ask for a recovery may make a backup."""
    text = str(item.payload["text"])
    try:
        asked = parse_backup(text, clusters=wiring.config.clusters)
    except Usage as error:
        note(wiring, doer, "backup", text, error)
        raise
    if isinstance(asked, Verify):
        return _verify(wiring, item, doer, asked)
    if not isinstance(asked, BackupNow):
        raise Usage("There is nothing to back up in that.", hint="See `/backup help`.", code="unknown-word")
    run = desk.back_up(
        wiring.ledger,
        key=item.key,
        cluster=asked.cluster,
        by=doer.who,
        at=wiring.now(),
        entropy=wiring.entropy(16),
        job=Job.DUMP if asked.kind == "dump" else Job.BASE_BACKUP,
        **_told(wiring, doer, policy_of(wiring, asked.cluster)),
    )
    cluster, what = code(asked.cluster, 80), "Dump" if asked.kind == "dump" else "Base backup"
    return Message(f"{what} of {cluster} queued as run `{run.id}`; its card is in the results channel.")


def _verify(wiring: Wiring, item: inbox.Item, doer: Doer, asked: Verify) -> Message:
    """`/backup verify CLUSTER [ID]`: whoever may ask for a recovery may have one tried."""
    run = desk.verify(
        wiring.ledger,
        key=item.key,
        cluster=asked.cluster,
        backup=asked.backup,
        by=doer.who,
        at=wiring.now(),
        entropy=wiring.entropy(16),
        **_told(wiring, doer, policy_of(wiring, asked.cluster)),
    )
    what = code(asked.backup, 80) if asked.backup else "the newest backups"
    return Message(
        f"Drill of {what} of {code(asked.cluster, 80)} queued as run `{run.id}`; its card is in the results channel."
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
        verb(wiring, item, doer, request, _told(wiring, doer, policy_of(wiring, request.cluster)))

    return handle


def card_shows(wiring: Wiring, doer: Doer, subject: str) -> None:
    """Make sure that what was pressed is on the very message the ledger has for this subject.

    Raises:
        Refused: it is not; the attempt is audited.
    """
    with wiring.ledger.read() as tx:
        card = cards.shown_at(tx, doer.channel, doer.ts)
    if card is None or card.subject_kind not in {"request", "server"} or card.subject != subject:
        error = Refused(
            "This button is not on a card of that request.", hint="Look for its current card.", code="foreign-card"
        )
        note(wiring, doer, "click", subject, error)
        raise error


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
    desk.approve(wiring.ledger, key=item.key, request_id=request.id, by=doer.who, at=wiring.now(), **told)


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


def note(wiring: Wiring, doer: Doer, action: str, subject: str, error: PitstopError) -> None:
    """Audit an attempt that was refused before any verb of the desk was called."""
    desk.note_attempt(wiring.ledger, wiring.now(), doer.person, action, subject[:200], error)


def known_zone(wiring: Wiring, person: Person) -> str | None:
    """Return the time zone the ledger has for a person; used where nothing may be fetched (inside an acknowledgement)."""
    with wiring.ledger.read() as tx:
        facts = people.get(tx, person)
    return facts.timezone if facts else None


_VERBS: dict[str, Callable[[Wiring, inbox.Item, Doer], Message | None]] = {
    PITR_TYPED: _pitr_typed,
    PITR_FORM: _pitr_form,
    BACKUP_NOW: _backup_now,
    actions.CONFIRM: _decide(_confirm),
    actions.REASON_FORM: _decide(_confirm, reason_required=True),
    actions.APPROVE: _decide(_approve),
    actions.DENY_FORM: _decide(_deny, reason_required=True),
    actions.CANCEL: _decide(_cancel),
    actions.EXTEND: _decide(_extend),
    actions.STOP: _decide(_stop),
    actions.REMOVE: _decide(_remove),
}

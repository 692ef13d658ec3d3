"""The Home tab: published when somebody opens it, and again while they may be looking and something changed."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from slack_bolt import App

from bot.errors import PitstopError
from bot.ledger import Tx, alerts, cards, requests, runs
from bot.model.alerts import AlertState
from bot.model.conditions.drills import of_now
from bot.model.ids import ClusterName
from bot.model.people import Person
from bot.model.policy import Action, Identities, authorize, full_member
from bot.model.requests import Request, State
from bot.model.runs import Job, RunState
from bot.slack.cards import actions
from bot.slack.client import SlackAnswered, call
from bot.slack.forms import PitrDraft, View
from bot.slack.home import HomeCluster, HomeDesk, Waiting, guest_home, home
from bot.slack.restore_form import RestoreDraft
from handlers.answers import cluster_status
from handlers.backup_verbs import BACKUP_NOW
from handlers.edge import edged, errand
from handlers.facts import Facts, fetch_facts
from handlers.modals import open_pitr_form
from handlers.payloads import Body, Doer, delivery_key, from_interaction, pressed
from handlers.recording import NotRecorded
from handlers.replies import reply_error
from handlers.restore import open_restore_form
from handlers.wiring import Wiring

log = structlog.get_logger("pitstop.home")

LOOKED_AT_FOR = timedelta(hours=1)
"""How long after it was opened a desk is kept current."""
AGAIN_AFTER_S = 60.0
_MOST = 50
_OPEN = tuple(state for state in State if not state.ended)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Somebody who opened their desk: when, what they may, and what was published last."""

    person: Person
    opened_at: datetime
    may_ask: frozenset[str]
    may_decide: frozenset[str]
    shown: str = ""


class Homes:
    """Who has a desk open. Kept in memory: a restart forgets them, and opening the tab brings it back."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._readers: dict[str, _Reader] = {}
        self._lock = threading.Lock()

    def opened(self, doer: Doer) -> None:
        """Find out what the person may, and publish their desk. Calls Slack."""
        wiring = self._wiring
        config = wiring.config
        facts = fetch_facts(wiring, doer.who, [cluster.policy for cluster in config.clusters.values()])
        identities = Identities(wiring.identity.team, config.people)
        if full_member(doer.who, facts=facts.person, at=wiring.now(), identities=identities) is not None:
            self._publish(doer.who, guest_home())
            return
        reader = _Reader(
            doer.who,
            wiring.now(),
            may_ask=self._allowed(doer.who, facts, Action.ASK),
            may_decide=self._allowed(doer.who, facts, Action.APPROVE),
        )
        with self._lock:
            self._readers[doer.person] = reader
            for forgotten in sorted(self._readers.values(), key=lambda one: one.opened_at)[:-_MOST]:
                del self._readers[forgotten.person.key]
        self._renew(reader)

    def keep_current(self, stop: threading.Event) -> None:
        """Publish again the desks that are looked at and have changed, at most once a minute each, until `stop`."""
        while not stop.wait(AGAIN_AFTER_S):
            since = self._wiring.now() - LOOKED_AT_FOR
            with self._lock:
                self._readers = {key: one for key, one in self._readers.items() if one.opened_at > since}
                readers = list(self._readers.values())
            for reader in readers:
                try:
                    self._renew(reader)
                except PitstopError as error:
                    log.warning("a desk is not current", person=reader.person.key, error=error.message)

    def _allowed(self, person: Person, facts: Facts, action: Action) -> frozenset[str]:
        wiring = self._wiring
        return frozenset(
            name
            for name, cluster in wiring.config.clusters.items()
            if authorize(
                cluster.policy,
                action,
                person,
                facts=facts.person,
                groups=facts.groups,
                requester=None,
                at=wiring.now(),
                identities=Identities(wiring.identity.team, wiring.config.people),
            )
            is None
        )

    def _renew(self, reader: _Reader) -> None:
        wiring = self._wiring
        links = self._links(reader)
        with wiring.ledger.read() as tx:
            view = home(_desk(wiring, tx, reader, links), now=wiring.now())
            lasting = json.dumps(_lasting(wiring, tx, reader), sort_keys=True, default=str)
        shown = hashlib.sha256(lasting.encode()).hexdigest()
        if shown == reader.shown:
            return
        self._publish(reader.person, view)
        with self._lock:
            if reader.person.key in self._readers:
                self._readers[reader.person.key] = replace(reader, shown=shown)

    def _links(self, reader: _Reader) -> dict[str, str]:
        """Ask Slack for the addresses of the cards that the desk leads to."""
        with self._wiring.ledger.read() as tx:
            shown = {one.id: _card(tx, one, reader.person) for one in _relevant(tx, reader)}
        found: dict[str, str] = {}
        for request, card in shown.items():
            if card is not None and card.channel and card.ts:
                try:
                    answer = call(
                        self._wiring.client,
                        "chat.getPermalink",
                        http_verb="GET",
                        channel=card.channel,
                        message_ts=card.ts,
                    )
                except PitstopError:
                    continue  # the desk says which request it is all the same
                found[request] = str(answer.get("permalink", ""))
        return found

    def _publish(self, person: Person, view: View) -> None:
        try:
            call(self._wiring.client, "views.publish", user_id=person.user, view=view)
        except SlackAnswered as error:
            log.warning("a desk was refused", person=person.key, error=error.message)


def _relevant(tx: Tx, reader: _Reader) -> list[Request]:
    return [
        one
        for one in requests.recent(tx, states=_OPEN, limit=100)
        if one.requester == reader.person or (one.state is State.PENDING and one.cluster in reader.may_decide)
    ]


def _card(tx: Tx, request: Request, person: Person) -> cards.Card | None:
    """Return the card to act on: the channel's once approvers are asked, else the one in the requester's messages."""
    own = None if request.requester != person else cards.find(tx, "request", request.id, f"dm:{person.user}")
    return cards.find(tx, "request", request.id, "approvals") or own


def _desk(wiring: Wiring, tx: Tx, reader: _Reader, links: dict[str, str]) -> HomeDesk:
    relevant = [Waiting(one, links.get(one.id, "")) for one in _relevant(tx, reader)]
    open_alerts = alerts.list(tx, states=(AlertState.OPEN,))
    return HomeDesk(
        to_decide=[one for one in relevant if one.request.requester != reader.person],
        own=[one for one in relevant if one.request.requester == reader.person],
        running=[run for run in runs.unfinished(tx) if run.job not in {Job.WAL_STREAM, Job.FORWARD}],
        clusters=[_cluster(wiring, tx, ClusterName(name), name in reader.may_ask) for name in wiring.config.clusters],
        alerts=[alert.concern.sentence for alert in open_alerts],
    )


def _cluster(wiring: Wiring, tx: Tx, name: ClusterName, may_ask: bool) -> HomeCluster:
    ended = (RunState.SUCCEEDED, RunState.FAILED, RunState.INTERRUPTED)
    drills = [run for run in runs.recent(tx, cluster=name, jobs=(Job.DRILL,), states=ended) if of_now(run)]
    rto = wiring.config.cluster(name).objectives.rto.target
    return HomeCluster(cluster_status(wiring, tx, name), drills[0] if drills else None, rto, may_ask)


def _lasting(wiring: Wiring, tx: Tx, reader: _Reader) -> Iterable[Any]:
    """Return what makes a desk worth publishing anew; ages, which change by themselves, are left out but for every 10 minutes."""
    desk = _desk(wiring, tx, reader, {})
    return [
        int(wiring.now().timestamp() // 600),
        [(one.request.id, one.request.version) for one in (*desk.to_decide, *desk.own)],
        [(run.id, run.state.value, run.phase) for run in desk.running],
        [(len(one.status.backups), one.drill and one.drill.id, bool(one.status.pause)) for one in desk.clusters],
        [one.status.all_away for one in desk.clusters],
        list(desk.alerts),
    ]


def register(app: App, wiring: Wiring, homes: Homes) -> None:
    """Listen to the tab being opened, and to its buttons."""

    def on_opened(ack: Any, body: Body) -> None:
        ack()
        event = body.get("event") or {}
        if event.get("tab", "home") == "home":
            person = Person(str(body.get("team_id", "")), str(event.get("user", "")))
            doer = Doer(person.key)
            errand(wiring, doer, lambda: homes.opened(doer))

    def on_backup(ack: Any, body: Body) -> None:
        """Record it like the typed command, before the acknowledgement."""
        doer, cluster = from_interaction(body), pressed(body)[1]
        try:
            wiring.recorder.put(delivery_key(body), BACKUP_NOW, {**doer.as_json(), "text": f"now {cluster}"})
        except NotRecorded as error:
            ack()
            errand(wiring, doer, lambda failed=error: reply_error(wiring.client, doer, failed))  # type: ignore[misc]
        else:
            ack()

    def on_recover(ack: Any, body: Body) -> None:
        ack()
        draft = PitrDraft(cluster=pressed(body)[1])
        open_pitr_form(wiring, from_interaction(body), str(body.get("trigger_id")), draft)

    def on_restore(ack: Any, body: Body) -> None:
        ack()
        draft = RestoreDraft(cluster=pressed(body)[1])
        open_restore_form(wiring, from_interaction(body), str(body.get("trigger_id")), draft)

    app.event("app_home_opened")(edged(wiring, on_opened))
    app.action(actions.HOME_BACKUP)(edged(wiring, on_backup))
    app.action(actions.HOME_RECOVER)(edged(wiring, on_recover))
    app.action(actions.HOME_RESTORE)(edged(wiring, on_restore))

"""What the leader watches and tells beside its work: the monitor, the fallback, the heartbeat, the metrics."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from bot import desk
from bot.errors import PitstopError, Unavailable, Usage
from bot.ledger import Tx, alerts, cards, catalogue, people, requests, wal_status
from bot.model.alerts import Alert, AlertState, Concern, Judged, Severity
from bot.model.conditions.messages import fallback_down
from bot.model.ids import ClusterName
from bot.model.notices import Notice, of_alerts, of_requests
from bot.model.requests import Request, State
from bot.notify import Fallback, beat
from bot.process.place import Place
from jobs.monitor import Monitor

TELL_EVERY_S = 10.0
BEAT_EVERY_S = 60.0
UNLOOKED_FOR_S = 90.0
UNSENT_FOR = timedelta(minutes=2)
"""How long Slack may take to show an alert before it counts as away."""
_NOT_MADE_YET = {"repository-missing", "not-a-repository", "unknown-cluster"}
_FIRST_BEAT_AFTER_S = 5.0

log = structlog.get_logger("pitstop.attention")


@dataclass
class Attention:
    """Threads of the leader; none of them ends because something outside is away."""

    place: Place
    monitor: Monitor = field(init=False)
    _looked_at: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        """Make the monitor."""
        self.monitor = Monitor(self.place.config, self.place.ledger, self.place.now)

    def watch(self, stop: threading.Event) -> None:
        """Look as often as configured until `stop`; a round that the ledger does not let through is left out."""
        every_s = self.place.config.monitor.every.total_seconds()
        while not stop.is_set():
            begun = time.monotonic()
            try:
                self.monitor.look()
                self.looked()
            except Unavailable as error:
                log.warning("not looked", error=error.message)
            stop.wait(max(1.0, every_s - (time.monotonic() - begun)))

    def looked(self) -> None:
        """Note that the monitor looked just now."""
        self._looked_at = time.monotonic()

    def tell(self, stop: threading.Event) -> None:
        """Send what the fallback has to tell until `stop`; what it does not take is tried again, a minute later."""
        try:
            urls = self.place.config.notify.urls
            fallback = Fallback(urls) if urls else None
        except Usage as error:  # backups go on without it, but not in silence
            log.error("no fallback", error=error.message, hint=error.hint)
            self._note(fallback_down(f"{error.message} {error.hint}"))
            stop.wait()
            return
        self._note([])  # what stood in its way before this start may be gone; if not, the first notice says so again
        if fallback is None:
            stop.wait()
            return
        while not stop.is_set():
            try:
                failed = not self.tell_due(fallback)
            except Unavailable as error:
                log.warning("nothing told", error=error.message)
                failed = False
            stop.wait(BEAT_EVERY_S if failed else TELL_EVERY_S)

    def beat(self, stop: threading.Event) -> None:
        """Fetch the heartbeat address every minute while we are well, until `stop`."""
        url = self.place.config.monitor.heartbeat_url
        if url is None:
            stop.wait()
            return
        stop.wait(_FIRST_BEAT_AFTER_S)
        while not stop.is_set():
            try:
                if why := self.unwell():
                    log.warning("no heartbeat", why=why)
                else:
                    beat(url)
            except PitstopError as error:
                log.warning("no heartbeat", why=error.message)
            stop.wait(BEAT_EVERY_S)

    def unwell(self) -> str:
        """Say why this bot is not well, or nothing: the ledger does not take writes, Slack is away, or nobody looks.

        Raises:
            Unavailable: the ledger cannot be used.
        """
        with self.place.ledger.transaction() as tx:
            away = self.place.config.slack is not None and people.slack_away(tx)
        if away:
            return "Slack is away"
        if time.monotonic() - self._looked_at > UNLOOKED_FOR_S + self.place.config.monitor.every.total_seconds():
            return "the monitor does not look"
        return ""

    def tell_due(self, fallback: Fallback) -> bool:
        """Send every notice that is due; say whether the fallback took them all."""
        for notice in due_notices(self.place, self.place.now()):
            try:
                fallback.send(notice)
            except Unavailable as error:
                log.error("the fallback failed", notice=notice.key, error=error.message)
                self._note(fallback_down(error.message))
                return False
            desk.noticed(self.place.ledger, notice.key, self.place.now())
            log.info("told", notice=notice.key)
            self._note([])
        return True

    def _note(self, concerns: list[Concern]) -> None:
        judged = Judged(frozenset({("fallback", "")}))
        try:
            desk.observe(self.place.ledger, concerns, judged, self.place.now())
        except Unavailable as away:
            log.warning("not noted", error=away.message)


def note_repositories(place: Place, cluster: str, error: PitstopError | None) -> None:
    """Take in whether a cluster's repositories could be read just now; one that is missing before its first use is no alert."""
    judged = Judged(frozenset({("repository-away", cluster)}))
    try:
        with place.ledger.read() as tx:
            used = catalogue.list(tx, ClusterName(cluster)) or wal_status.list(tx, ClusterName(cluster))
        concerns = []
        if error is not None and (used or error.reason_code not in _NOT_MADE_YET):
            concerns = [Concern("repository-away", cluster, "", Severity.WARN, error.message, error.hint)]
        desk.observe(place.ledger, concerns, judged, place.now())
    except Unavailable as away:
        log.warning("not noted", error=away.message)


def due_notices(place: Place, now: datetime) -> list[Notice]:
    """Return what the fallback should tell now and has not told yet."""
    config = place.config
    with place.ledger.read() as tx:
        found, told = alerts.list(tx), alerts.noticed(tx)
        pending = requests.recent(tx, states=(State.PENDING,), limit=1000)
        away = config.slack is None or people.slack_away(tx) or _unshown(tx, found, now)
    least = Severity(config.notify.severity)

    def wake_after(request: Request) -> timedelta:
        cluster = config.clusters.get(request.cluster)
        return cluster.approval.wake_after if cluster else timedelta()

    return [
        *of_alerts(found, least=least, slack_away=away, told=told),
        *of_requests(pending, wake_after=wake_after, slack_away=away, told=told, now=now),
    ]


def _unshown(tx: Tx, found: list[Alert], now: datetime) -> bool:
    """Say whether an open alert is not to be seen in Slack although it had the time: Slack is away, whatever else is said."""
    for alert in found:
        if alert.state is AlertState.OPEN and now - alert.changed_at > UNSENT_FOR:
            card = cards.find(tx, "alert", alert.id, "alerts")
            if card is None or card.ts is None:
                return True
    return False

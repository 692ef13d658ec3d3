"""Supervision: what a leader does all the time so that every row that needs a process has one, and none is forgotten."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from bot import desk
from bot.errors import Unavailable
from bot.model.ids import ClusterName
from bot.model.requests import Request
from bot.process.drills import clear_after_drills
from bot.process.kept import keep_databases
from bot.process.place import Place
from bot.process.receivers import keep_receivers
from bot.process.requests import Refresh, execute_approved, resume_interrupted
from bot.process.schedule import retry_interrupted
from bot.process.servers import keep_servers
from bot.process.spawning import Spawner
from bot.process.watching import Watch

TICK_S = 0.5
LEDGER_AWAY = timedelta(minutes=2)
FORGET_EVERY = timedelta(hours=1)


def no_refresh(_request: Request) -> None:
    """Leave the facts as they are: there is no Slack to ask."""


class Supervisor:
    """The leader's loop; every step is idempotent, and what it knows is in the ledger and in kernel locks.

    So a bot that was killed and started again adopts what is running and goes on.
    """

    def __init__(self, place: Place, refresh: Refresh = no_refresh) -> None:
        self._place = place
        self._refresh = refresh
        self._spawner = Spawner(place)
        self._watch = Watch(place)
        self._forgot_at: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        """Look after everything twice a second until `stop`; jobs go on without us.

        Raises:
            Unavailable: the ledger could not be used for two minutes.
        """
        away_since = None
        while not stop.is_set():
            try:
                self.look_after_all()
                away_since = None
            except Unavailable:
                # The receiver streams on without a ledger, and so do we wait; but not in silence for ever.
                now = self._place.now()
                away_since = away_since or now
                if now - away_since > LEDGER_AWAY:
                    raise
            stop.wait(TICK_S)

    def look_after_all(self) -> None:
        """Do one round."""
        place = self._place
        self._watch.look()
        desk.sweep(place.ledger, place.now())
        self._forget()
        self._wake()
        resume_interrupted(place, self._refresh)
        execute_approved(place, self._refresh)
        clear_after_drills(place)
        retry_interrupted(place)
        keep_servers(place)
        keep_databases(place)
        keep_receivers(place, self._watch)
        self._spawner.start()

    def _forget(self) -> None:
        now = self._place.now()
        if self._forgot_at is None or now - self._forgot_at >= FORGET_EVERY:
            desk.forget(self._place.ledger, now)
            self._forgot_at = now

    def _wake(self) -> None:
        for name, cluster in self._place.config.clusters.items():
            after = cluster.approval.wake_after
            policies, people = {ClusterName(name): cluster.policy}, self._place.config.people
            desk.wake_due(self._place.ledger, self._place.now(), after, policies, people)

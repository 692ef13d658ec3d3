"""An errand: one run or request followed from the command line, and driven there where no bot leads."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from bot.ledger import people, requests, runs
from bot.model.ids import RequestId, RunId
from bot.model.requests import Request, State
from bot.model.runs import Run
from bot.process.leader import leads
from bot.process.place import Place
from bot.process.requests import execute_approved, resume_interrupted
from bot.process.spawning import Spawner
from bot.process.supervisor import no_refresh
from bot.process.watching import Watch

LOOK_EVERY_S = 0.15


class Errand:
    """Follows rows of the ledger; where a bot leads it does the work, and where none does the processes start from here.

    Every process started here outlives the command line, and a bot that starts meanwhile takes over: both sides of each
    step are idempotent.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._spawner = Spawner(place)
        self._watch = Watch(place)
        self._told_slack_away = False

    def run(self, run_id: RunId, on_look: Callable[[Run], None]) -> Run:
        """Follow a run to its end and return it; `on_look` sees it several times a second."""
        while True:
            self._drive_run(run_id)
            with self._place.ledger.read() as tx:
                run = runs.get(tx, run_id)
            on_look(run)
            if run.state.ended:
                return run
            time.sleep(LOOK_EVERY_S)

    def request(
        self, request_id: RequestId, until: Collection[State], on_look: Callable[[Request, Run | None], None]
    ) -> Request:
        """Follow a request until it is in one of the states `until`, or ended; `on_look` also sees its latest run."""
        while True:
            self._drive_request(request_id)
            with self._place.ledger.read() as tx:
                request = requests.get(tx, request_id)
                latest = runs.recent(tx, request=request_id, limit=1)
            on_look(request, latest[0] if latest else None)
            if request.state in until or request.state.ended:
                return request
            time.sleep(LOOK_EVERY_S)

    def stop(self, run: Run) -> None:
        """Ask a run's process to stop; for somebody who pressed Ctrl-C."""
        self._watch.end(run)

    def _drive_run(self, run_id: RunId) -> None:
        if not leads(self._place.leader_lock):
            self._watch.look(only=run_id)
            self._spawner.start(only=run_id)

    def _drive_request(self, request_id: RequestId) -> None:
        if leads(self._place.leader_lock):
            return
        self._tell_slack_away()
        resume_interrupted(self._place, no_refresh, only=request_id)
        execute_approved(self._place, no_refresh, only=request_id)
        with self._place.ledger.read() as tx:
            unfinished = [run.id for run in runs.unfinished(tx) if run.request == request_id]
        for run_id in unfinished:
            self._drive_run(run_id)

    def _tell_slack_away(self) -> None:
        """Without a bot nobody asks Slack: `desk.claim` then counts only approvers named by user id."""
        if not self._told_slack_away:
            with self._place.ledger.transaction() as tx:
                people.set_slack_away(tx, True)
            self._told_slack_away = True

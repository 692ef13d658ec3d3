"""Running runs: lost ones are declared interrupted, unwanted ones are ended, and those that stand still are shown so."""

from __future__ import annotations

import contextlib
import signal
from datetime import datetime, timedelta

import structlog

from bot import desk
from bot.errors import Conflict
from bot.host import processes
from bot.host.processes import ProcessIdentity
from bot.ledger import cards, runs
from bot.model.ids import RunId
from bot.model.runs import Job, Run, RunState
from bot.process.place import Place

ASK_AGAIN = timedelta(seconds=10)
KILL_AFTER = timedelta(seconds=60)
STALLED_AFTER = timedelta(minutes=5)
SILENT = {Job.WAL_STREAM, Job.FORWARD}
log = structlog.get_logger("pitstop.supervisor")


class Watch:
    """Looks after running runs, whoever started them: liveness is their kernel lock, nothing else."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._asked: dict[RunId, tuple[datetime, datetime]] = {}
        self._stalled: set[RunId] = set()

    def look(self, only: RunId | None = None) -> None:
        """Declare what is lost, end what is unwanted, show what stands still (or look at the run `only`)."""
        with self._place.ledger.read() as tx:
            running = [run for run in runs.unfinished(tx) if run.state is RunState.RUNNING and only in {None, run.id}]
            unwanted = {run.id for run in runs.unwanted(tx)}
        for run in running:
            if not self._place.lives(run.id):
                self._declare_lost(run, wanted=run.id not in unwanted)
            elif run.id in unwanted:
                self.end(run)
            elif run.job not in SILENT:
                self._show_stalled(run)
        alive = {run.id for run in running}
        self._asked = {run: asked for run, asked in self._asked.items() if run in alive}
        self._stalled &= alive

    def end(self, run: Run) -> None:
        """Ask a run's process to stop (SIGTERM), again every 10 s, and kill it when it is still there after 60."""
        now = self._place.now()
        first, last = self._asked.get(run.id, (now, now - ASK_AGAIN))
        if now - last < ASK_AGAIN:
            return
        self._asked[run.id] = (first, now)
        signum = signal.SIGKILL if now - first >= KILL_AFTER else signal.SIGTERM
        process = process_of(self._place, run.id)
        if process is not None:
            log.info("asked to stop", run=run.id, signal=signum.name)
            processes.signal(process, signum)

    def _declare_lost(self, run: Run, *, wanted: bool) -> None:
        """Say that a run's process is gone. A job records its end before it gives its lock back, so look again first."""
        place = self._place
        with place.ledger.read() as tx:
            if runs.get(tx, run.id).state is not RunState.RUNNING:
                return
        log.warning("lost", run=run.id, job=run.job.value, wanted=wanted)
        with contextlib.suppress(Conflict):
            if wanted:
                why = f"Its process ended without a word. Its log: {place.log_of(run.id)}"
                desk.interrupt_run(place.ledger, run.id, place.now(), why)
            else:
                if run.job is Job.EXECUTE and run.request is not None:
                    desk.clear_away(place.ledger, run.request, place.now(), place.entropy(8))
                desk.cancel_run(place.ledger, run.id, place.now())

    def _show_stalled(self, run: Run) -> None:
        stalled = is_stalled(run, self._place.now())
        if stalled != (run.id in self._stalled):
            (self._stalled.add if stalled else self._stalled.discard)(run.id)
            log.warning("stands still" if stalled else "moves again", run=run.id, phase=run.phase)
            with self._place.ledger.transaction() as tx:
                cards.bump(tx, "run", run.id)


def is_stalled(run: Run, now: datetime) -> bool:
    """Say whether a running run has not moved for five minutes. Pure."""
    moved = run.progress_at or run.started_at
    return run.state is RunState.RUNNING and moved is not None and now - moved > STALLED_AFTER


def process_of(place: Place, run: RunId) -> ProcessIdentity | None:
    """Return the process that a run said it is; None before it said so."""
    with place.ledger.read() as tx:
        found = runs.process(tx, run)
    return ProcessIdentity.from_json(found) if found else None

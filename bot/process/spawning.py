"""Queued runs become processes; those that do not come up are given up after three attempts."""

from __future__ import annotations

import contextlib

import structlog

from bot import desk
from bot.errors import Conflict, Failed, Unavailable
from bot.host.processes import ProcessIdentity, alive
from bot.ledger import runs
from bot.model.ids import RunId
from bot.model.runs import Run, RunState
from bot.process.place import Place, start_process

ATTEMPTS = 3
log = structlog.get_logger("pitstop.supervisor")


class Spawner:
    """Starts the processes of queued runs. Another supervisor starting the same run does no harm (`start_process`)."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._attempts: dict[RunId, list[ProcessIdentity]] = {}

    def start(self, only: RunId | None = None) -> None:
        """Start every queued run that has no process yet (or just `only`)."""
        queued = [run for run in _queued(self._place) if only in {None, run.id}]
        self._attempts = {run.id: self._attempts.get(run.id, []) for run in queued}
        for run in queued:
            if not self._starting(run.id):
                self._start(run)

    def _starting(self, run: RunId) -> bool:
        attempts = self._attempts[run]
        return self._place.lives(run) or bool(attempts and alive(attempts[-1]))

    def _start(self, run: Run) -> None:
        attempts = self._attempts[run.id]
        if len(attempts) >= ATTEMPTS:
            self._give_up(run)
            return
        try:
            process = start_process(self._place, run.id)
        except Unavailable as error:
            _fail(self._place, run, error)
            return
        attempts.append(process)
        log.info("started", run=run.id, job=run.job.value, cluster=run.cluster, pid=process.pid)

    def _give_up(self, run: Run) -> None:
        # Between the last look at the process and this one it may have done its work and ended.
        with self._place.ledger.read() as tx:
            if runs.get(tx, run.id).state is not RunState.QUEUED:
                return
        error = Failed(
            f"The process of run {run.id} did not start, {ATTEMPTS} times in a row.",
            hint=f"Its log says why: {self._place.log_of(run.id)}",
            code="job-did-not-start",
        )
        _fail(self._place, run, error)


def _queued(place: Place) -> list[Run]:
    with place.ledger.read() as tx:
        return [run for run in runs.unfinished(tx) if run.state is RunState.QUEUED]


def _fail(place: Place, run: Run, error: Failed | Unavailable) -> None:
    log.error("not started", run=run.id, error=error.message)
    with contextlib.suppress(Conflict):
        desk.fail_run(place.ledger, run.id, error.as_json(), place.now())

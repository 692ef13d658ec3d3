"""Executors as processes of their own, driven by the supervisor's own steps; nothing of it is patched."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from functools import cached_property

from bot import desk
from bot.host import processes
from bot.ledger import requests, runs
from bot.model.ids import RequestId, RunId
from bot.model.requests import Request, State
from bot.model.runs import Job
from bot.process.place import Place
from bot.process.requests import execute_approved, resume_interrupted
from bot.process.servers import keep_servers
from bot.process.spawning import Spawner
from bot.process.watching import Watch, process_of
from tests.jobs import Installation, wait_for
from tests.recoveries import ENGINEER, caller, get, refresh


@dataclass
class Supervised:
    """An installation, and the supervisor's steps to drive executors with."""

    here: Installation
    spawner: Spawner = field(init=False)
    watch: Watch = field(init=False)

    def __post_init__(self) -> None:
        self.spawner, self.watch = Spawner(self.place), Watch(self.place)

    @cached_property
    def place(self) -> Place:
        """Where its runs live."""
        return Place(self.here.config, self.here.config_path, self.here.ledger)

    def fresh(self, _request: Request) -> None:
        """Bring people's facts up to date."""
        refresh(self.here.ledger)

    def start(self, request: RequestId) -> RunId:
        """Start the executor of an approved request, and nothing else."""
        execute_approved(self.place, self.fresh, only=request)
        run = self.executor(request)
        self.spawner.start(only=run)
        return run

    def executor(self, request: RequestId) -> RunId:
        """Return the request's latest executor."""
        with self.here.ledger.read() as tx:
            return runs.recent(tx, request=request, jobs=(Job.EXECUTE,), limit=1)[0].id

    def round(self) -> None:
        """Do what the supervisor does twice a second."""
        self.watch.look()
        desk.sweep(self.here.ledger, self.place.now())
        resume_interrupted(self.place, self.fresh)
        execute_approved(self.place, self.fresh)
        keep_servers(self.place)
        self.spawner.start()

    def until_ended(self, request: RequestId) -> Request:
        """Let the supervisor work until the request has ended and no run is at work any more."""

        def ended() -> bool:
            self.round()
            with self.here.ledger.read() as tx:
                working = [run for run in runs.unfinished(tx) if run.job is not Job.FORWARD]
            return get(self.here, request).state.ended and not working

        wait_for(ended, timeout_s=240, what=f"the end of {request}")
        return get(self.here, request)

    def kill(self, run: RunId) -> None:
        """Kill a run's process as a crash would, and wait until it and its lock are gone.

        A child on its way to becoming the server may hold the lock's file for a moment longer.
        """
        process = process_of(self.place, run)
        assert process is not None, f"{run} has no process; its log: {self.place.log_of(run).read_text()}"
        processes.signal(process, signal.SIGKILL)
        assert processes.wait_gone(process, 60)
        wait_for(lambda: not self.place.lives(run), what="the end of the run's lock")

    def cancel(self, request: Request) -> None:
        """Cancel as the requester."""
        desk.cancel(self.here.ledger, caller(self.here, ENGINEER, at=self.place.now()), request.id)

    def end_runs(self) -> None:
        """End every process that a test left, and what it worked on."""
        with self.here.ledger.read() as tx:
            left = runs.unfinished(tx)
        for run in left:
            if (process := process_of(self.place, run.id)) is not None:
                processes.signal(process, signal.SIGKILL)
                processes.wait_gone(process, 60)
            desk.cancel_run(self.here.ledger, run.id, self.place.now())
        with self.here.ledger.read() as tx:
            interrupted = requests.recent(tx, states=(State.INTERRUPTED,))
        over = {"code": "test", "message": "The test is over.", "hint": ""}
        for request in interrupted:
            desk.fail(self.here.ledger, request.id, over, self.place.now())

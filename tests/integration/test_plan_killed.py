"""`kill -9` of the process that makes a plan: nothing was done yet, so it is made again; three times, and it is given up.

| the process when killed | what is left | what becomes of it |
|---|---|---|
| plans | PLANNING, the run's lock free; INTERRUPTED as soon as the supervisor looks | a second run makes the plan: PROPOSED |
| plans, for the third time | INTERRUPTED | FAILED, with what to look at; nothing to clear away |
| plans, and is cancelled before anybody looks | CANCELLED, the run's lock free | CANCELLED, and no other run |
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot import desk
from bot.host import processes
from bot.host.accounts import Account
from bot.ledger import audit, runs
from bot.model.ids import RunId
from bot.model.requests import Request, State
from bot.model.runs import Job, RunState
from bot.model.targets import Target, TargetKind
from bot.process.requests import ATTEMPTS, resume_interrupted
from bot.process.watching import process_of
from tests.jobs import CLUSTER, install
from tests.recoveries import ENGINEER, RIGHTS, caller, get, lasting_server, refresh, run_of
from tests.servers import binaries_or_skip
from tests.supervised import Supervised

pytestmark = pytest.mark.pg


@pytest.fixture(scope="module")
def stage(server_user: Account, cluster_template: Callable[..., Path]) -> Iterator[Supervised]:
    """One server with one backup."""
    with lasting_server(binaries_or_skip(18), cluster_template, server_user, {"wal_level": "replica"}) as (
        home,
        server,
    ):
        here = install(home / "pitstop", server, RIGHTS, f'[restore]\ndirectory = "{home}/restores"')
        here.run(Job.BASE_BACKUP)
        yield Supervised(here)


@pytest.fixture
def scene(stage: Supervised) -> Iterator[Supervised]:
    """The stage; what a test left running is ended."""
    yield stage
    stage.end_runs()


def ask(scene: Supervised) -> Request:
    """Ask for a recovery; its plan is queued."""
    refresh(scene.here.ledger)
    return desk.ask(
        scene.here.ledger,
        caller(scene.here, ENGINEER, name="Engineer"),
        verb="pitr",
        cluster=CLUSTER,
        target=Target(TargetKind.LATEST),
        target_text="latest",
        destination={"kind": "beside", "directory": None, "port": None},
        reason="the test wants it",
    )


def held(scene: Supervised, request: Request) -> RunId:
    """Start the request's plan, and stop its process as soon as it is there: it plans for as long as the test wants."""
    run = get(scene.here, request.id).run
    assert run is not None
    scene.spawner.start(only=run)
    deadline = time.monotonic() + 60
    while (process := process_of(scene.place, run)) is None:
        assert time.monotonic() < deadline, scene.place.log_of(run).read_text()
        time.sleep(0.001)
    processes.signal(process, signal.SIGSTOP)
    assert get(scene.here, request.id).state is State.PLANNING, "it was faster than the test"
    return run


def audited(scene: Supervised, request: Request) -> list[str]:
    """Return what the audit says of the request, oldest first."""
    with scene.here.ledger.read() as tx:
        return [entry.action for entry in audit.entries(tx) if entry.subject == request.id]


def test_a_killed_plan_is_made_again(scene: Supervised) -> None:
    """Interrupted, taken up by a second run, and proposed once."""
    request = ask(scene)
    first = held(scene, request)
    scene.kill(first)
    assert get(scene.here, request.id).state is State.PLANNING
    scene.watch.look()
    left = get(scene.here, request.id)
    assert (left.state, left.resume_state) == (State.INTERRUPTED, State.PLANNING)
    assert run_of(scene.here, first).state is RunState.INTERRUPTED
    deadline = time.monotonic() + 120
    while (now := get(scene.here, request.id)).state in {State.INTERRUPTED, State.PLANNING}:
        assert time.monotonic() < deadline
        scene.round()
        time.sleep(0.05)
    assert now.state is State.PROPOSED
    assert now.run != first
    assert [word for word in audited(scene, request) if word != "request.ask"] == [
        "request.interrupt",
        "request.resume",
        "request.propose",
    ]


def test_a_plan_killed_three_times_is_given_up(scene: Supervised) -> None:
    """FAILED, saying what to look for; no folder was made, and nothing is queued any more."""
    request = ask(scene)
    for attempt in range(ATTEMPTS):
        scene.kill(held(scene, request))
        scene.watch.look()
        assert get(scene.here, request.id).state is State.INTERRUPTED, attempt
        resume_interrupted(scene.place, scene.fresh)
    failed = get(scene.here, request.id)
    assert failed.state is State.FAILED
    assert failed.outcome is not None
    assert failed.outcome["code"] == "interrupted"
    assert failed.outcome["hint"]
    assert not (scene.here.home.parent / "restores" / request.id).exists()
    with scene.here.ledger.read() as tx:
        assert runs.unfinished(tx) == []


def test_a_plan_killed_and_cancelled_stays_cancelled(scene: Supervised) -> None:
    """Its process dies, and whoever asked cancels before anybody noticed: it is not made again."""
    request = ask(scene)
    run = held(scene, request)
    scene.kill(run)
    scene.cancel(request)
    scene.round()
    assert get(scene.here, request.id).state is State.CANCELLED
    assert run_of(scene.here, run).state is RunState.CANCELLED
    with scene.here.ledger.read() as tx:
        assert runs.unfinished(tx) == []

"""Supervision with real processes: rows become processes, and no death goes unnoticed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import desk
from bot.config import Schedule, load
from bot.host import processes
from bot.ledger import Ledger, runs
from bot.model.ids import ClusterName, RunId
from bot.model.runs import Job, Run, RunState
from bot.process.place import Place
from bot.process.schedule import queue_due, retry_interrupted
from bot.process.spawning import ATTEMPTS
from bot.process.supervisor import Supervisor
from bot.process.watching import is_stalled, process_of
from tests.integration.pretend import COMMAND

SLIPS = ClusterName("slips")
CONFIG = """
ledger = "ledger.db"
[repositories.local]
url = "file:///nowhere"
[encryption]
key = "file:/nowhere/key"
[clusters.slips]
dsn = "host=/nowhere"
timezone = "Asia/Bangkok"
schedule = { base_backup = "0 2 * * *", OTHERS }
"""


class Clock:
    """A clock that tests set; real time passes underneath."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    """A clock to turn."""
    return Clock()


@pytest.fixture
def place(tmp_path: Path, clock: Clock) -> Iterator[Place]:
    """A configuration and a ledger; whatever still runs afterwards is killed by its identity."""
    path = tmp_path / "pitstop.toml"
    others = ", ".join(f'{job} = "off"' for job in Schedule.model_fields if job != "base_backup")
    path.write_text(CONFIG.replace("OTHERS", others))
    config, path = load(path)
    ledger = Ledger(config.ledger)
    ledger.create()
    place = Place(config, path, ledger, now=clock, command=COMMAND)
    yield place
    for process in started(path):
        processes.signal(process, signal.SIGKILL)
        processes.wait_gone(process, 5)


def started(config: Path) -> list[processes.ProcessIdentity]:
    """Return the processes started with a test's own configuration, also one that has not come as far as its lock."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and os.fsencode(config) in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(processes.identity(int(entry.name)))
    return found


def queue(place: Place, do: str, job: Job = Job.BASE_BACKUP, cluster: ClusterName = SLIPS) -> RunId:
    """Queue a run that pretends."""
    run = desk.queue_run(
        place.ledger, job=job, cluster=cluster, args={"do": do}, by="test", at=place.now(), entropy=os.urandom(8)
    )
    return run.id


def get(place: Place, run: RunId) -> Run:
    """Read a run."""
    with place.ledger.read() as tx:
        return runs.get(tx, run)


def until(place: Place, run: RunId, state: RunState, step: Callable[[], object], timeout_s: float = 20) -> Run:
    """Let `step` happen until the run is in `state`."""
    end = time.monotonic() + timeout_s
    while (found := get(place, run)).state is not state:
        assert time.monotonic() < end, f"{run} is {found.state}, not {state}: {place.log_of(run).read_text()}"
        assert not found.state.ended, f"{run} ended as {found.state}, not {state}: {found.error}"
        step()
        time.sleep(0.05)
    return found


def test_a_queued_run_is_executed_by_a_process_of_its_own(place: Place) -> None:
    """The job runs in another process, without Slack's tokens in its environment, and its result is in its row."""
    os.environ["SLACK_BOT_TOKEN"] = "xoxb-for-this-test"
    try:
        run = queue(place, "succeed")
        done = until(place, run, RunState.SUCCEEDED, Supervisor(place).look_after_all)
    finally:
        del os.environ["SLACK_BOT_TOKEN"]
    assert done.result is not None
    assert done.result["pid"] != os.getpid()
    assert not [name for name in done.result["environment"] if name.startswith("SLACK_")]
    assert [phase.name for phase in done.phases] == ["succeed"]
    assert done.phases[0].seconds is not None


def test_a_failing_job_leaves_its_sentence_and_its_hint(place: Place) -> None:
    """An expected error is recorded with code, message and hint."""
    failed = until(place, queue(place, "fail"), RunState.FAILED, Supervisor(place).look_after_all)
    assert failed.error is not None
    assert failed.error["code"] == "told-to"
    assert failed.error["hint"] == "Tell it otherwise."


def test_a_crashing_job_names_its_log_and_not_its_trace(place: Place) -> None:
    """An unexpected error is recorded as one sentence; the traceback is in the run's log only."""
    run = queue(place, "crash")
    failed = until(place, run, RunState.FAILED, Supervisor(place).look_after_all)
    assert failed.error is not None
    assert failed.error["code"] == "unexpected"
    assert str(place.log_of(run)) in failed.error["hint"]
    assert "Traceback" not in str(failed.error)
    assert "ZeroDivisionError" in place.log_of(run).read_text()


def test_a_killed_job_is_interrupted_within_seconds(place: Place) -> None:
    """After kill -9 the kernel lock is free, and the next look declares the run interrupted."""
    supervisor, run = Supervisor(place), queue(place, "sleep")
    until(place, run, RunState.RUNNING, supervisor.look_after_all)
    process = process_of(place, run)
    assert process is not None
    processes.signal(process, signal.SIGKILL)
    assert processes.wait_gone(process, 5)
    started = time.monotonic()
    lost = until(place, run, RunState.INTERRUPTED, supervisor.look_after_all)
    assert time.monotonic() - started < 3
    assert lost.error is not None
    assert str(place.log_of(run)) in lost.error["message"]


def test_a_new_supervisor_adopts_what_runs(place: Place) -> None:
    """A supervisor that starts afresh neither restarts nor interrupts a live run, and notices when it dies later."""
    run = queue(place, "sleep")
    until(place, run, RunState.RUNNING, Supervisor(place).look_after_all)
    process = process_of(place, run)
    assert process is not None
    successor = Supervisor(place)
    for _ in range(5):
        successor.look_after_all()
    assert get(place, run).state is RunState.RUNNING
    assert process_of(place, run) == process
    processes.signal(process, signal.SIGKILL)
    until(place, run, RunState.INTERRUPTED, successor.look_after_all)


def test_two_supervisors_start_a_run_once(place: Place) -> None:
    """Two processes for one run: the kernel lock lets one execute it, the other leaves without a trace."""
    run = queue(place, "succeed")
    one, other = Supervisor(place), Supervisor(place)

    def both() -> None:
        one.look_after_all()
        other.look_after_all()

    both()
    until(place, run, RunState.SUCCEEDED, both)
    with place.ledger.read() as tx:
        starts = tx.execute("SELECT count(*) FROM audit WHERE action = 'run.start' AND subject = ?", [run]).fetchone()
    assert starts[0] == 1


def test_a_process_that_never_comes_up_fails_its_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three attempts the run has failed, and names the log that says why."""
    monkeypatch.setenv("PRETEND_NOT_TO_START", "1")
    run = queue(place, "succeed")
    failed = until(place, run, RunState.FAILED, Supervisor(place).look_after_all)
    assert failed.error is not None
    assert failed.error["code"] == "job-did-not-start"
    assert f"{ATTEMPTS} times" in failed.error["message"]


def test_one_receiver_runs_per_cluster_and_comes_back_when_killed(place: Place) -> None:
    """A receiver is started without being asked for, and again after kill -9, after its back-off."""
    supervisor = Supervisor(place)
    first = _receiver(place, supervisor, after=None)
    process = process_of(place, first)
    assert process is not None
    processes.signal(process, signal.SIGKILL)
    second = _receiver(place, supervisor, after=first)
    assert get(place, first).state is RunState.INTERRUPTED
    supervisor.look_after_all()
    with place.ledger.read() as tx:
        assert [run.id for run in runs.unfinished(tx)] == [second]


def test_a_receiver_of_another_version_is_replaced(place: Place) -> None:
    """A receiver started by another version of the bot is asked to stop, and a new one follows at once."""
    old = desk.queue_run(
        place.ledger,
        job=Job.WAL_STREAM,
        cluster=SLIPS,
        args={"version": "0.0.1"},
        by="test",
        at=place.now(),
        entropy=os.urandom(8),
    )
    supervisor = Supervisor(place)
    _receiver(place, supervisor, after=old.id)
    assert get(place, old.id).state is RunState.CANCELLED


def test_a_missed_schedule_is_caught_up_once(place: Place, clock: Clock) -> None:
    """A bot that was down for three nights owes one backup, not three, and none a minute later."""
    assert queue_due(place) == []
    clock.ahead = timedelta(days=3)
    (run,) = queue_due(place)
    assert run.job is Job.BASE_BACKUP
    assert run.scheduled_for is not None
    assert queue_due(place) == []
    until(place, run.id, RunState.SUCCEEDED, Supervisor(place).look_after_all)
    clock.ahead += timedelta(minutes=1)
    assert queue_due(place) == []
    clock.ahead += timedelta(days=1)
    assert len(queue_due(place)) == 1


def test_a_scheduled_run_waits_for_one_started_by_hand(place: Place, clock: Clock) -> None:
    """Never two of a kind on one cluster: what is due is queued when the other has ended."""
    queue_due(place)
    by_hand = queue(place, "succeed")
    clock.ahead = timedelta(days=1)
    assert queue_due(place) == []
    until(place, by_hand, RunState.SUCCEEDED, Supervisor(place).look_after_all)
    assert len(queue_due(place)) == 1


def test_an_interrupted_scheduled_run_is_retried_once(place: Place, clock: Clock) -> None:
    """A scheduled backup that a reboot cut short is run again, and if that is cut short too, not a third time."""
    queue_due(place)
    clock.ahead = timedelta(days=1)
    (run,) = queue_due(place)
    desk.start_run(place.ledger, run.id, place.now())
    desk.interrupt_run(place.ledger, run.id, place.now())
    (again,) = retry_interrupted(place)
    assert again.args["retry_of"] == run.id
    assert retry_interrupted(place) == []
    desk.start_run(place.ledger, again.id, place.now())
    desk.interrupt_run(place.ledger, again.id, place.now())
    assert retry_interrupted(place) == []


def test_standing_still_is_told_from_being_dead(place: Place) -> None:
    """A live run without progress for five minutes is stalled; it stays running."""
    run, now = get(place, queue(place, "succeed")), place.now()
    running = replace(run, state=RunState.RUNNING, started_at=now - timedelta(minutes=9))
    assert is_stalled(running, now)
    assert not is_stalled(replace(running, progress_at=now - timedelta(minutes=4)), now)
    assert not is_stalled(run, now)


def _receiver(place: Place, supervisor: Supervisor, after: RunId | None) -> RunId:
    """Look after everything until a receiver runs that is not `after`."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        supervisor.look_after_all()
        with place.ledger.read() as tx:
            found = runs.recent(tx, jobs=(Job.WAL_STREAM,), states=(RunState.RUNNING,), limit=2)
        if found and found[0].id != after:
            return found[0].id
        time.sleep(0.05)
    raise AssertionError("no receiver came up")

"""A recovery that is killed, cancelled, or finds that things have changed: what it leaves, and how it ends.

The executor is a process of its own, driven by the supervisor's own steps; it is stopped by watching what it left on disk and in
the ledger, and nothing of it is patched.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from bot.host import processes
from bot.host.accounts import Account
from bot.ledger import servers
from bot.ledger.database import iso
from bot.model.ids import RequestId, RunId
from bot.model.requests import Request, State
from bot.model.runs import Job, RunState
from bot.model.servers import Server, ServerState
from bot.model.wal import Lsn, segment_name, segment_number
from bot.postgres.isolated import remove_directory, running_postmaster
from bot.postgres.isolated_folder import MARKER, ServerFolder
from bot.postgres.plain import PlainServer
from bot.process.requests import resume_interrupted
from bot.process.watching import process_of
from tests.jobs import install, wait_for
from tests.recoveries import (
    RIGHTS,
    approved,
    carry_out,
    execute,
    get,
    lasting_server,
    queue_executor,
    remove_server,
    run_of,
)
from tests.servers import binaries_or_skip
from tests.servers import execute as sql
from tests.supervised import Supervised

pytestmark = pytest.mark.pg
ROWS = 200_000
CHECKS = '[{ name = "takes its time", database = "postgres", sql = "SELECT pg_sleep(1)" }]'


@dataclass
class Scene(Supervised):
    """An installation with a backup and WAL up to a dropped table."""

    restores: Path
    target: str

    def request(self, port: int | None = None) -> Request:
        """Return a request that was asked, planned, confirmed and approved."""
        return approved(self.here, self.target, port=port)

    def directory(self, request: RequestId) -> Path:
        """Return where the request's server goes."""
        plan = get(self.here, request).plan
        assert plan is not None
        return Path(plan.steps.beside.directory)

    def clear(self) -> None:
        """End every process and remove every directory that a test left."""
        self.end_runs()
        for folder in self.restores.iterdir() if self.restores.exists() else ():
            if ServerFolder(folder).is_ours():
                remove_directory(folder)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def stage(server_user: Account, cluster_template: Callable[..., Path]) -> Iterator[Scene]:
    """One server with one backup for all tests here: a table filled after it, and then dropped."""
    binaries = binaries_or_skip(18)
    with lasting_server(binaries, cluster_template, server_user, {"wal_level": "replica"}) as (home, server):
        extra = {**RIGHTS, "wal_durable_within": '"1s"', "checks": CHECKS}
        here = install(home / "pitstop", server, extra, f'[restore]\ndirectory = "{home}/restores"')
        with here.receiving():
            here.run(Job.BASE_BACKUP)
            sql(server, f"CREATE TABLE t AS SELECT n, repeat('x', 100) AS x FROM generate_series(1, {ROWS}) n")
            xid = drop(server)
            end = Lsn.parse(str(sql(server, "SELECT pg_current_wal_flush_lsn()")[0][0]))
            archive = here.repository().wal
            wait_for(
                lambda: any(piece.covers(end) for piece in archive.ranges()),
                timeout_s=120,
                what="WAL in the repository",
            )
        yield Scene(here, home / "restores", f"before:xid:{xid}")


def drop(server: PlainServer) -> int:
    """Drop the table and return the transaction that did."""
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        connection.execute("DROP TABLE t")
    assert row is not None
    return int(row[0])


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """The stage, cleared after each test."""
    yield stage
    stage.clear()


@dataclass(frozen=True)
class Killed:
    """One row of the table: how a phase is seen, what its kill leaves, and what becomes of that.

    `seen` is asked until it is true. `left` is the state the request left when it was interrupted. `runs_on`: a server lives on
    without its executor. `goes_on`: that server is taken over as it is; otherwise what was left is removed and all begins anew.
    """

    seen: Callable[[Scene, Request], bool]
    left: State
    runs_on: bool = False
    goes_on: bool = False


def claimed(scene: Scene, request: Request) -> bool:
    """The directory has its marker."""
    return (scene.directory(request.id) / MARKER).exists()


def fetching(scene: Scene, request: Request) -> bool:
    """Files arrive, and there is no control file yet: nothing could start there."""
    return (scene.directory(request.id) / "data" / "base").exists()


def preparing(scene: Scene, request: Request) -> bool:
    """Production's configuration is being set aside."""
    return (scene.directory(request.id) / "production-config").exists()


def recovering(scene: Scene, request: Request) -> bool:
    """The server replays WAL."""
    return running_postmaster(scene.directory(request.id) / "data") is not None


def checking(scene: Scene, request: Request) -> bool:
    """Checks run: the desk was told."""
    return get(scene.here, request.id).state is State.VERIFYING


def registering(scene: Scene, request: Request) -> bool:
    """The server is registered, and its executor waits for the port to open."""
    return server_of(scene, request.id) is not None


PHASES = {
    "claim": Killed(claimed, left=State.RUNNING),
    "fetch": Killed(fetching, left=State.RUNNING),
    "prepare": Killed(preparing, left=State.RUNNING),
    "recover": Killed(recovering, left=State.RUNNING, runs_on=True),
    "check": Killed(checking, left=State.VERIFYING, runs_on=True, goes_on=True),
    "register": Killed(registering, left=State.VERIFYING, runs_on=True, goes_on=True),
}


def server_of(scene: Scene, request: RequestId) -> Server | None:
    """Return the server the desk knows, if it does."""
    with scene.here.ledger.read() as tx:
        return servers.find(tx, request)


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postmasters(scene: Scene) -> set[int]:
    """Return the pids of every server that runs on anything below the restores, also ones nobody remembers."""
    found = set()
    for pid in processes.pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(os.fsencode(scene.restores)) for word in words):
            found.add(pid)
    return found


def start_until(scene: Scene, request: Request, phase: str) -> RunId:
    """Start the executor and return its run as soon as the phase is seen."""
    run = scene.start(request.id)
    deadline = time.monotonic() + 120
    while not PHASES[phase].seen(scene, request):
        assert time.monotonic() < deadline, f"{phase} was not seen"
        assert not run_of(scene.here, run).state.ended, run_of(scene.here, run).error
        time.sleep(0.002)
    return run


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_executor_leaves_nothing_unfinished(scene: Scene, phase: str) -> None:
    """Killed in any phase, the request is interrupted and taken up again, ends well, and one server stands where it should."""
    expected = PHASES[phase]
    request = scene.request(port=free_port() if phase == "register" else None)
    directory = scene.directory(request.id)
    run = start_until(scene, request, phase)
    scene.kill(run)
    before = running_postmaster(directory / "data")
    assert get(scene.here, request.id).state is expected.left
    assert (before is not None) is expected.runs_on
    assert (server_of(scene, request.id) is not None) is (phase == "register")
    if phase in {"claim", "fetch"}:
        assert not (directory / "data" / "global" / "pg_control").exists(), (
            "a half directory must not look like a server"
        )

    scene.watch.look()
    interrupted = get(scene.here, request.id)
    assert (interrupted.state, interrupted.resume_state) == (State.INTERRUPTED, expected.left)
    assert run_of(scene.here, run).state is RunState.INTERRUPTED

    done = scene.until_ended(request.id)
    assert done.state is State.SUCCEEDED, done.outcome
    after = running_postmaster(directory / "data")
    assert after is not None
    assert (after == before) is expected.goes_on
    assert postmasters(scene) == {after.pid}
    known = server_of(scene, request.id)
    assert known is not None
    assert known.state is ServerState.RUNNING
    with psycopg.connect((done.outcome or {})["dsn"]) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)
    remove_server(scene.here, request.id)
    assert not directory.exists()
    assert not postmasters(scene)


def test_a_recovery_interrupted_by_a_reboot_starts_over(scene: Scene) -> None:
    """When executor and server die together while checks run, what they left is removed, and all is done again."""
    request = scene.request()
    scene.kill(start_until(scene, request, "check"))
    server = running_postmaster(scene.directory(request.id) / "data")
    assert server is not None
    processes.signal(server, signal.SIGKILL)
    assert processes.wait_gone(server, 30)
    done = scene.until_ended(request.id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert [phase["name"] for phase in (done.outcome or {})["phases"]] == [*PHASES]
    assert running_postmaster(scene.directory(request.id) / "data") is not None


def test_an_executor_killed_three_times_is_given_up_and_cleared_away(scene: Scene) -> None:
    """After three kills the request has failed, and neither the server nor the directory it left is there any more."""
    request = scene.request()
    run = start_until(scene, request, "recover")
    for _ in range(2):
        scene.kill(run)
        scene.watch.look()
        resume_interrupted(scene.place, scene.fresh)
        run = scene.executor(request.id)
        old = postmasters(scene)
        scene.spawner.start(only=run)
        # A server that the killed executor was just starting may come up before the next executor is there.
        wait_for(lambda run=run: process_of(scene.place, run) is not None, timeout_s=120, what="the executor")  # type: ignore[misc]
        wait_for(lambda old=old: bool(postmasters(scene) - old), timeout_s=120, what="the next server")  # type: ignore[misc]
    scene.kill(run)
    failed = scene.until_ended(request.id)
    assert failed.state is State.FAILED
    assert failed.outcome is not None
    assert failed.outcome["code"] == "interrupted"
    assert not scene.directory(request.id).exists()
    assert not postmasters(scene)


@pytest.mark.parametrize("phase", ["fetch", pytest.param("check", marks=pytest.mark.full)])
def test_a_cancelled_recovery_undoes_what_it_began(scene: Scene, phase: str) -> None:
    """Cancelled while it runs, also in the middle of a long SQL check: the run is cancelled, server and directory are gone."""
    request = scene.request()
    run = start_until(scene, request, phase)
    scene.cancel(request)
    ended = scene.until_ended(request.id)
    assert ended.state is State.CANCELLED
    assert run_of(scene.here, run).state is RunState.CANCELLED
    assert not scene.directory(request.id).exists()
    assert not postmasters(scene)
    assert server_of(scene, request.id) is None


def test_a_cancelled_and_killed_recovery_is_cleared_away(scene: Scene) -> None:
    """An executor that dies before it could undo what it began: the supervisor has it removed."""
    request = scene.request()
    run = start_until(scene, request, "recover")
    scene.cancel(request)
    scene.kill(run)
    assert scene.until_ended(request.id).state is State.CANCELLED
    assert not scene.directory(request.id).exists()
    assert not postmasters(scene)


def test_a_directory_that_is_not_ours_is_left_alone(scene: Scene) -> None:
    """Where somebody else's files stand in the interrupted attempt's place, the resumed one fails and touches nothing."""
    request = scene.request()
    directory = scene.directory(request.id)
    scene.kill(start_until(scene, request, "claim"))
    shutil.rmtree(directory)
    directory.mkdir()
    (directory / "precious").write_text("mine")
    failed = scene.until_ended(request.id)
    assert failed.state is State.FAILED
    assert failed.outcome is not None
    assert failed.outcome["code"] == "directory-not-empty"
    assert [file.name for file in directory.iterdir()] == ["precious"]
    shutil.rmtree(directory)


def occupy(scene: Scene, request: Request, _undo: ExitStack) -> str:
    """Put a file into the directory."""
    directory = scene.directory(request.id)
    directory.mkdir(parents=True)
    (directory / "precious").write_text("mine")
    return "is not empty any more"


def take_port(_scene: Scene, request: Request, undo: ExitStack) -> str:
    """Listen on the port."""
    assert request.plan is not None
    listener = undo.enter_context(socket.socket())
    listener.bind(("127.0.0.1", request.plan.steps.beside.port))
    listener.listen()
    return "is in use"


def hide_manifest(scene: Scene, request: Request, undo: ExitStack) -> str:
    """Take the backup's manifest away."""
    assert request.plan is not None
    hide(next(scene.here.home.glob(f"repository/**/{request.plan.steps.chain[0].backup}/manifest")), undo)
    return "is no longer in the repository"


def hide_segment(scene: Scene, request: Request, undo: ExitStack) -> str:
    """Take a WAL segment away, from the spool as well."""
    first = segment_after_start(scene, request)
    for found in [
        *scene.here.home.glob(f"repository/**/{first.name}"),
        *scene.here.spool.directory.glob(f"**/{first.name}*"),
    ]:
        hide(found, undo)
    return "WAL from the backup to the target is no longer complete"


def segment_after_start(scene: Scene, request: Request) -> Path:
    """Return the object of the segment after the one the backup's WAL begins in."""
    assert request.plan is not None
    start = scene.here.repository().manifest(request.plan.steps.chain[0].backup).start_lsn
    name = segment_name(1, segment_number(start) + 1)
    return next(scene.here.home.glob(f"repository/**/{name}"))


def hide(path: Path, undo: ExitStack) -> None:
    """Move a file out of the way until the end of the test."""
    aside = path.with_name(f".{path.name}.aside")
    path.rename(aside)
    undo.callback(aside.rename, path)


@pytest.mark.parametrize("change", [occupy, take_port, hide_manifest, hide_segment])
def test_what_is_no_longer_as_planned_is_void(scene: Scene, change: Callable[[Scene, Request, ExitStack], str]) -> None:
    """What changed between approval and claim makes the request void, in a sentence that names it; nothing was touched."""
    request = scene.request(port=free_port() if change is take_port else None)
    directory = scene.directory(request.id)
    with ExitStack() as undo:
        sentence = change(scene, request, undo)
        before = sorted(directory.iterdir()) if directory.exists() else None
        void = execute(scene.here, request.id)
        assert void.state is State.VOID, void.outcome
        assert sentence in str(void.outcome)
        assert (sorted(directory.iterdir()) if directory.exists() else None) == before


def test_facts_too_old_to_judge_by_leave_the_request_approved(scene: Scene) -> None:
    """Where nobody knows any more who may what, nothing is claimed and nothing is lost: with fresh facts it goes on."""
    request = scene.request()
    run = queue_executor(scene.here, request.id)
    long_ago = iso(scene.place.now() - timedelta(minutes=5))
    with scene.here.ledger.transaction() as tx:
        tx.execute("UPDATE people SET fetched_at = ?", [long_ago])
    refused = carry_out(scene.here, run.id)
    assert refused.error is not None
    assert refused.error["code"] == "facts-stale"
    assert get(scene.here, request.id).state is State.APPROVED
    assert not scene.directory(request.id).exists()
    assert execute(scene.here, request.id).state is State.SUCCEEDED


def damage(path: Path, undo: ExitStack) -> None:
    """Flip one bit in the middle of a file until the end of the test."""
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    undo.callback(path.write_bytes, content)


@pytest.mark.parametrize("what", ["volume", pytest.param("segment", marks=pytest.mark.full)])
def test_a_damaged_object_fails_the_recovery_and_leaves_nothing(scene: Scene, what: str) -> None:
    """One flipped bit in a volume or a WAL segment: FAILED, the object named, no server and no directory left."""
    request = scene.request()
    assert request.plan is not None
    with ExitStack() as undo:
        if what == "volume":
            manifest = scene.here.repository().manifest(request.plan.steps.chain[0].backup)
            path = scene.here.home / "repository" / manifest.archives[0].volumes[0].path
        else:
            path = segment_after_start(scene, request)
            for spooled in scene.here.spool.directory.glob(f"**/{path.name}*"):
                hide(spooled, undo)
        damage(path, undo)
        failed = execute(scene.here, request.id)
    assert failed.state is State.FAILED
    assert str(path.relative_to(scene.here.home / "repository")) in str(failed.outcome)
    assert not scene.directory(request.id).exists()
    assert not postmasters(scene)

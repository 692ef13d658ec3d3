"""A restore that is killed or cancelled in any phase: no database has the final name half filled, and what was begun is gone.

The executor is a process of its own; it is stopped by watching the server and the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from bot.host.accounts import Account
from bot.model.requests import Request, State
from bot.model.restores import Wanted
from bot.model.runs import Job
from bot.postgres.plain import PlainServer
from bot.process.requests import resume_interrupted
from tests.jobs import install, wait_for
from tests.recoveries import RIGHTS, agreed, asked, get, lasting_server, run_of
from tests.servers import binaries_or_skip
from tests.servers import execute as sql
from tests.supervised import Supervised

pytestmark = pytest.mark.pg
ROWS = 60_000
CHECKS = '[{ name = "takes its time", database = "postgres", sql = "SELECT pg_sleep(1)" }]'
SAME = "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY n)) FROM t"


class Stage(Supervised):
    """A server with a dump of one table that takes a moment, and restores of it."""

    server: PlainServer

    def request(self, name: str) -> Request:
        """Return an approved request for a restore into the new database `name`."""
        wanted = Wanted()
        return agreed(
            self.here, asked(self.here, "restore", wanted, wanted.text(), {"kind": "database", "database": name})
        )

    def databases(self) -> set[str]:
        """Return the server's databases that are not its own."""
        rows = sql(
            self.server, "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
        )
        return {str(name) for (name,) in rows}


@pytest.fixture(scope="module")
def lasting(server_user: Account, cluster_template: Callable[..., Path]) -> Iterator[Stage]:
    """One server with one dump for all tests here."""
    with lasting_server(binaries_or_skip(18), cluster_template, server_user, {}) as (home, server):
        sql(server, f"CREATE TABLE t AS SELECT n, repeat(md5(n::text), 20) AS x FROM generate_series(1, {ROWS}) n")
        sql(server, "CREATE INDEX ON t (x, n)")
        here = install(home / "pitstop", server, {**RIGHTS, "checks": CHECKS})
        here.run(Job.DUMP)
        stage = Stage(here)
        stage.server = server
        yield stage


@pytest.fixture
def stage(lasting: Stage) -> Iterator[Stage]:
    """The stage, cleared after each test."""
    yield lasting
    lasting.end_runs()
    for name in lasting.databases():
        sql(lasting.server, f'DROP DATABASE "{name}" WITH (FORCE)')


def scratch(request: Request) -> str:
    """Return the name the database has while it is made."""
    return f"pitstop_restoring_{request.id}"


def creating(stage: Stage, request: Request) -> bool:
    """The unfinished database is there."""
    return scratch(request) in stage.databases()


def loading(stage: Stage, request: Request) -> bool:
    """Rows arrive."""
    query = f"SELECT count(*) FROM pg_stat_progress_copy WHERE datname = '{scratch(request)}'"
    return sql(stage.server, query) != [(0,)]


def indexing(stage: Stage, request: Request) -> bool:
    """The index is built."""
    query = f"SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = '{scratch(request)}'"
    return sql(stage.server, query) != [(0,)]


def checking(stage: Stage, request: Request) -> bool:
    """Checks run: the desk was told."""
    return get(stage.here, request.id).state is State.VERIFYING


PHASES: dict[str, Callable[[Stage, Request], bool]] = {
    "create": creating,
    "rows": loading,
    "index": indexing,
    "check": checking,
}


def start_until(stage: Stage, request: Request, phase: str) -> None:
    """Start the executor, and return as soon as the phase is seen."""
    run = stage.start(request.id)
    deadline = time.monotonic() + 120
    while not PHASES[phase](stage, request):
        assert time.monotonic() < deadline, f"{phase} was not seen"
        assert not run_of(stage.here, run).state.ended, run_of(stage.here, run).error
        time.sleep(0.005)


@pytest.mark.parametrize(
    "phase", [phase if phase in {"rows", "check"} else pytest.param(phase, marks=pytest.mark.full) for phase in PHASES]
)
def test_killed_and_taken_up_again(stage: Stage, phase: str) -> None:
    """Killed in any phase nothing has the final name; taken up again it ends well, and only the whole database is there."""
    request = stage.request("again")
    start_until(stage, request, phase)
    stage.kill(stage.executor(request.id))
    assert stage.databases() == {scratch(request)}
    done = stage.until_ended(request.id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert stage.databases() == {"again"}
    assert sql(stage.server, SAME, dbname="again") == sql(stage.server, SAME)


def test_killed_after_the_name_was_given(stage: Stage) -> None:
    """Killed between the rename and the report: the whole database is taken for what it is, and not made again."""
    request = stage.request("named")
    start_until(stage, request, "check")
    with stage.here.ledger.transaction():  # the report cannot be written
        wait_for(lambda: "named" in stage.databases(), timeout_s=60, what="the name")
        oid = sql(stage.server, "SELECT oid FROM pg_database WHERE datname = 'named'")
        stage.kill(stage.executor(request.id))
    assert sql(stage.server, SAME, dbname="named") == sql(stage.server, SAME)
    done = stage.until_ended(request.id)
    assert done.state is State.SUCCEEDED, done.outcome
    assert sql(stage.server, "SELECT oid FROM pg_database WHERE datname = 'named'") == oid
    assert any(check["name"] == "takes its time" for check in (done.outcome or {})["checks"])
    assert "Pitstop" not in str(
        sql(stage.server, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'named'")
    )


@pytest.mark.parametrize("phase", [pytest.param("rows", marks=pytest.mark.full), "check"])
def test_cancelled(stage: Stage, phase: str) -> None:
    """Cancelled while it runs: the run ends, and nothing is left."""
    request = stage.request("cancelled")
    start_until(stage, request, phase)
    stage.cancel(request)
    assert stage.until_ended(request.id).state is State.CANCELLED
    assert stage.databases() == set()


@pytest.mark.full
def test_cancelled_and_killed(stage: Stage) -> None:
    """An executor that dies before it could undo what it began: the supervisor has it cleared away."""
    request = stage.request("gone")
    start_until(stage, request, "rows")
    stage.cancel(request)
    stage.kill(stage.executor(request.id))
    assert stage.until_ended(request.id).state is State.CANCELLED
    assert stage.databases() == set()


@pytest.mark.full
def test_killed_three_times(stage: Stage) -> None:
    """After three kills the request has failed, and its unfinished database is dropped."""
    request = stage.request("never")
    start_until(stage, request, "rows")
    for _ in range(2):
        stage.kill(stage.executor(request.id))
        stage.watch.look()
        resume_interrupted(stage.place, stage.fresh)
        stage.spawner.start(only=stage.executor(request.id))
        wait_for(lambda: loading(stage, request), timeout_s=60, what="rows")
    stage.kill(stage.executor(request.id))
    assert stage.until_ended(request.id).state is State.FAILED
    assert stage.databases() == set()


def test_the_session_is_ended(stage: Stage) -> None:
    """Somebody ends pg_restore's session: the restore fails, says so, and nothing is left."""
    request = stage.request("ended")
    start_until(stage, request, "rows")
    query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{scratch(request)}'"
    with psycopg.connect(stage.server.dsn(), autocommit=True) as connection:
        connection.execute(query.encode())
    failed = stage.until_ended(request.id)
    assert failed.state is State.FAILED
    assert (failed.outcome or {})["code"] == "server-gone"
    assert stage.databases() == set()

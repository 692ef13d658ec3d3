"""Retention on a real server's backups and WAL: what it leaves can be restored, and what lies between is refused in words."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot import desk
from bot.config import load
from bot.job import job_function
from bot.ledger import runs
from bot.model.ids import BackupId
from bot.model.requests import Request, State
from bot.model.runs import Job, RunState
from bot.model.wal import Lsn
from bot.postgres.plain import PlainServer
from bot.repository.examine import examine
from jobs.context import utc_now
from jobs.plan.window import measured_window
from jobs.wal_check import run as check_wal
from tests.jobs import CLUSTER, Installation, install, wait_for
from tests.recoveries import RIGHTS, approved, ask, execute, remove_server
from tests.servers import PlainServerFactory
from tests.servers import execute as sql

pytestmark = pytest.mark.pg
AGES = (40, 20, 8, 1)
"""How many days ago each of the backups was taken; the policy is the default one: 30 days of fulls, 7 days of WAL."""


@dataclass
class History:
    """A cluster whose backups were taken over weeks, with writes between them; `between` lies before each next backup."""

    here: Installation
    backups: list[BackupId]
    between: list[Lsn]
    now: datetime

    def retention(self, **args: Any) -> dict[str, Any]:
        """Run retention now."""
        return at(self.here, Job.RETENTION, self.now, **args)


def at(here: Installation, job: Job, now: datetime, **args: Any) -> dict[str, Any]:
    """Run a job with the clock at `now`."""
    context = here.context(job, **args)
    context.now = lambda: now
    try:
        result = job_function(job)(context)
    finally:
        context.close()
    desk.finish_run(here.ledger, context.run.id, result, utc_now())
    return result


@contextmanager
def history(server: PlainServer, home: Path) -> Iterator[History]:
    """Take four base backups, write and switch WAL between them, all of it streamed."""
    here = install(home, server, RIGHTS, f'[restore]\ndirectory = "{home}/restores"')
    home.chmod(0o755)
    sql(server, "CREATE TABLE slips (backup int)")
    made, between, now = [], [], utc_now()
    with here.receiving():
        for number, age in enumerate(AGES):
            sql(server, f"INSERT INTO slips VALUES ({number})")
            made.append(BackupId(at(here, Job.BASE_BACKUP, now - timedelta(days=age))["id"]))
            for _ in range(3):
                sql(server, "INSERT INTO slips SELECT NULL FROM generate_series(1, 100)")
                sql(server, "SELECT pg_switch_wal()")
            sql(server, "INSERT INTO slips VALUES (NULL)")
            [(lsn,)] = sql(server, "SELECT pg_current_wal_lsn()::text")
            between.append(Lsn.parse(str(lsn)))
            sql(server, "INSERT INTO slips VALUES (NULL)")
            sql(server, "SELECT pg_switch_wal()")
        wait_for(lambda: durable(here) > between[-1], what="all WAL in the repository")
        yield History(here, made, between, now)


def durable(here: Installation) -> Lsn:
    """Return how far the repository's WAL goes."""
    return max((piece.end for piece in here.repository().wal.ranges()), default=Lsn(0))


def rows(request: Request) -> int:
    """Return how many rows the recovered server holds."""
    with psycopg.connect(str((request.outcome or {})["dsn"])) as connection:
        found = connection.execute("SELECT count(*) FROM slips").fetchone()
    assert found is not None
    return int(found[0])


def test_what_is_left_can_be_restored(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Between ranges a plan is refused with the times on both sides; the end of an old backup and any place since the
    window's first one are recovered exactly; the WAL check finds nothing missing.
    """
    with history(plain_server(16), tmp_path / "pitstop") as world:
        here, repository = world.here, world.here.repository()
        segments = len(repository.wal.inventory().segments[1])
        done = world.retention()
        assert [b["id"] for b in done["removed"]] == world.backups[:1]
        left = repository.wal.inventory().segments[1]
        assert segments - len(left) == done["repositories"][0]["wal"]["segments"] >= 6
        assert list(examine(repository)) == []
        assert not world.retention()["news"]

        window = measured_window(here.config, here.ledger, CLUSTER)
        taken = {b.id: b.finished_at for b in repository.backups()}
        assert [part.start for part in window] == [taken[world.backups[1]], taken[world.backups[2]]]
        found = check_wal(here.context(Job.WAL_CHECK))
        assert not [f for f in found["findings"] if f["code"] == "wal-hole"]

        drilled = here.run(Job.DRILL, backup=world.backups[1])
        [proof] = drilled["proofs"]
        assert proof["verified"], proof["points"]

        refused = ask(here, f"lsn:{world.between[1]}")
        assert refused.state is State.REFUSED
        assert refused.outcome is not None
        assert refused.outcome["code"] == "in-a-hole"
        assert len(refused.outcome["nearest"]) == 2
        gone = ask(here, f"immediate:{world.backups[0]}")
        assert gone.outcome is not None
        assert gone.outcome["code"] == "unknown-backup"
        assert f"immediate:{world.backups[1]}" in gone.outcome["hint"]

        # each round writes a row before its backup, 301 up to the place between, and one more
        expected = {
            f"immediate:{world.backups[1]}": 303 + 1,
            f"lsn:{world.between[2]}": 2 * 303 + 302,
        }
        for target, count in expected.items():
            request = execute(here, approved(here, target).id)
            assert request.state is State.SUCCEEDED, request.outcome
            assert rows(request) == count, target
            remove_server(here, request.id)


def test_killed_anywhere_it_goes_on(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Killed at random moments, again and again: what is listed is whole and has its WAL; at last all that should go is gone."""
    with history(plain_server(15), tmp_path / "pitstop") as world:
        here = world.here
        text = here.config_path.read_text("utf-8") + "[clusters.slips.retention]\nbase = '10d'\nwal = '1h'\n"
        here.config_path.write_text(text, "utf-8")
        rng = random.Random(7)
        killed = 0
        for _ in range(6):
            run, process = here.spawn(Job.RETENTION)
            wait_for(lambda name=run: begun(here, name), what="its beginning")  # type: ignore[misc]
            time.sleep(rng.uniform(0, 0.25))
            process.kill()
            process.wait()
            with here.ledger.read() as tx:
                state = runs.get(tx, run).state
            if state is RunState.RUNNING:
                desk.interrupt_run(here.ledger, run, utc_now())
                killed += 1
            repository = here.repository()
            assert list(examine(repository)) == []
            ranges = repository.wal.ranges()
            for backup in repository.backups():
                assert any(r.start <= backup.start_lsn and backup.end_lsn <= r.end for r in ranges), backup.id
        assert killed
        replace(here, config=load(here.config_path)[0]).run(Job.RETENTION)  # with the rules that those killed had
        assert [backup.id for backup in here.repository().backups()] == world.backups[2:]
        assert not list((here.home / "repository").glob("*/*/backups/*/events/*-expired"))


def begun(here: Installation, run: Any) -> bool:
    """Say whether a run is under way, or over."""
    with here.ledger.read() as tx:
        return runs.get(tx, run).state is not RunState.QUEUED

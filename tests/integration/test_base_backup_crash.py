"""kill -9 of the base backup job, in each phase and at random moments: what is left, and that the next one works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bot import desk
from bot.host.locks import FileLock
from bot.ledger import runs
from bot.model.ids import BackupId, RunId
from bot.model.runs import Job, RunState
from bot.postgres.plain import PlainServer
from bot.repository.examine import examine
from jobs.context import utc_now
from tests.jobs import Installation, install, wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

LATER = datetime.now(UTC) + timedelta(days=1)


@dataclass(frozen=True)
class Expected:
    """What a job killed in a phase leaves: in the repository's folder of the backup, and on the server."""

    archives: set[str]
    """Archives with whole volumes or indexes; more may be there as hidden files."""
    leftovers: bool
    """Whether a half-written object is there, under a hidden name."""


NOTHING = Expected(set(), leftovers=False)
PHASES = {
    # the phase       what is left in the backup's folder
    "prepare": NOTHING,  # nothing was begun
    "checkpoint": NOTHING,  # the server was asked; nothing came yet
    "copy": Expected(set(), leftovers=True),  # the first volume is being written
    "wal": Expected({"base", "backup_manifest"}, leftovers=False),  # all was copied, its WAL is not durable
}
"""In every phase: no manifest, so the backup does not exist; the run is INTERRUPTED; the server keeps no slot and no backup."""


@contextmanager
def held_in(phase: str, server: PlainServer, here: Installation) -> Iterator[Callable[[RunId], bool]]:
    """Make a job stay in `phase`; yield what says that it got there."""
    if phase == "prepare":
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("LOCK TABLE pg_extension IN ACCESS EXCLUSIVE MODE")
            yield lambda _: asked(server, "SELECT count(*) FROM pg_locks WHERE NOT granted")
    elif phase == "checkpoint":
        [(pid,)] = execute(server, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        os.kill(int(str(pid)), signal.SIGSTOP)
        try:
            yield lambda _: asked(server, f"{_PROGRESS} WHERE phase = 'waiting for checkpoint to finish'")
        finally:
            os.kill(int(str(pid)), signal.SIGCONT)
    elif phase == "copy":
        yield lambda _: any((here.home / "repository").glob("*/*/volumes/*/base/.*"))
    else:
        # The job believes that a receiver brings the WAL; none does.
        here.spool.create()
        lock = FileLock(here.spool.lock_path)
        assert lock.acquire()
        try:
            yield lambda run: phase_of(here, run) == "wal"
        finally:
            lock.release()


_PROGRESS = "SELECT count(*) FROM pg_stat_progress_basebackup"


def asked(server: PlainServer, count: str) -> bool:
    """Say whether a query counts more than 0."""
    [(number,)] = execute(server, count)
    return bool(number)


def phase_of(here: Installation, run: RunId) -> str:
    """Return the phase a run told last."""
    with here.ledger.read() as tx:
        phases = runs.get(tx, run).phases
    return phases[-1].name if phases else ""


@pytest.mark.parametrize("phase", PHASES)
def test_killed_in_a_phase(plain_server: PlainServerFactory, tmp_path: Path, phase: str) -> None:
    """What the table says is left, no half backup is seen, and the next backup works and clears it away once it is old."""
    server = plain_server(16)
    execute(server, "CREATE TABLE t AS SELECT g, repeat(md5(g::text), 8) FROM generate_series(1, 60000) g")
    here = install(tmp_path / "pitstop", server, {"max_rate_kib": "4096"} if phase == "copy" else None)
    with held_in(phase, server, here) as reached:
        run, process = here.spawn(Job.BASE_BACKUP)
        wait_for(lambda: reached(run), what=f"the phase {phase}")
        here.kill(run, process)
    left = what_is_left(here)
    assert left.leftovers == PHASES[phase].leftovers
    assert left.archives == PHASES[phase].archives
    check_after(here, server, run)


def what_is_left(here: Installation) -> Expected:
    """Return what is in the folders of backups, as the table says it."""
    folders = list((here.home / "repository").glob("*/*/*/*-base-*"))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    archives = {path.parent.name for path in files if not path.name.startswith(".")}
    return Expected(archives, any(path.name.startswith(".") for path in files))


def check_after(here: Installation, server: PlainServer, run: RunId) -> None:
    """Hold the state after a kill to what is promised for every phase, and take the next backup."""
    with here.ledger.read() as tx:
        assert runs.get(tx, run).state is RunState.INTERRUPTED
    wait_for(lambda: not asked(server, _PROGRESS), what="the end of the backup on the server")
    wait_for(lambda: not asked(server, "SELECT count(*) FROM pg_replication_slots"), what="the end of the slot")
    if begun(here):
        assert here.repository().backups() == []
    fast = install(here.home, server)
    made = fast.run(Job.BASE_BACKUP)["id"]
    assert [backup.id for backup in fast.repository().backups()] == [made]
    fast.repository().delete_unfinished(LATER)
    assert {path.name for path in (here.home / "repository").glob("*/*/*/*-base-*")} == {made}
    assert not [path for path in (here.home / "repository").rglob(".*") if path.is_file()]
    assert list(examine(fast.repository())) == []


def test_killed_while_it_is_published(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Killed from the summary on: the backup is there whole, or not at all; never half."""
    server = plain_server(16)
    here = install(tmp_path / "pitstop", server)
    whole: set[BackupId] = set()
    for turn in range(4):
        run, process = here.spawn(Job.BASE_BACKUP)
        before = set((here.home / "repository").glob("*/*/backups/*/summary"))
        deadline = time.monotonic() + 60
        while set((here.home / "repository").glob("*/*/backups/*/summary")) == before and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(turn * 0.002)
        killed(here, run, process)
        listed = {backup.id for backup in here.repository().backups()}
        assert whole <= listed, "what existed exists"
        whole = listed
        assert list(examine(here.repository())) == []
    assert install(here.home, server).run(Job.BASE_BACKUP)["id"]


def killed(here: Installation, run: RunId, process: subprocess.Popen[bytes]) -> None:
    """Kill a job that may have ended by itself meanwhile."""
    process.kill()
    process.wait()
    with here.ledger.read() as tx:
        state = runs.get(tx, run).state
    if state is RunState.RUNNING:
        here.kill(run, process)
    elif state is RunState.QUEUED:
        desk.cancel_run(here.ledger, run, utc_now())


def begun(here: Installation) -> bool:
    """Say whether anything of the cluster is in the repository yet."""
    return any((here.home / "repository").glob("*/*/cluster.json"))


@pytest.mark.full
@pytest.mark.parametrize("seed", range(12))
def test_killed_at_random_moments(plain_server: PlainServerFactory, tmp_path: Path, seed: int) -> None:
    """Kills at random moments, one after the other: each time every listed backup is whole, and at the end one more works."""
    server = plain_server([15, 16, 18][seed % 3])
    execute(server, "CREATE TABLE t AS SELECT g, repeat(md5(g::text), 8) FROM generate_series(1, 100000) g")
    here = install(tmp_path / "pitstop", server)
    rng = random.Random(seed)
    for _ in range(5):
        run, process = here.spawn(Job.BASE_BACKUP)
        time.sleep(rng.uniform(0.3, 4))
        killed(here, run, process)
        if begun(here):
            assert list(examine(here.repository())) == []
    made = here.run(Job.BASE_BACKUP)["id"]
    assert made in [backup.id for backup in here.repository().backups()]

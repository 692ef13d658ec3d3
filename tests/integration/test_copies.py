"""Several repositories of a real server: copied behind, written at once, caught up, and restored from whichever is sound."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot import desk
from bot.config import load
from bot.errors import Unavailable
from bot.host.accounts import Account
from bot.ledger import alerts, runs
from bot.ledger import schedule as memory
from bot.metrics import PitstopCollector
from bot.model.alerts import AlertState
from bot.model.ids import BackupId, RunId
from bot.model.requests import Request, State
from bot.model.restores import Wanted
from bot.model.runs import Job, Run
from bot.postgres.plain import PlainServer
from bot.process.place import Place
from bot.process.schedule import queue_after_backups
from bot.process.spawning import Spawner
from bot.repository.examine import examine
from jobs.context import utc_now
from jobs.copies import behind
from jobs.monitor.round import Monitor
from tests.copies import bucket, install_copies
from tests.jobs import CLUSTER, Installation, wait_for
from tests.recoveries import RIGHTS, agreed, approved, ask, asked, execute, lasting_server, remove_server
from tests.servers import binaries_or_skip
from tests.servers import execute as sql

pytestmark = pytest.mark.pg
Stage = tuple[PlainServer, Path]


@pytest.fixture(scope="module")
def server(server_user: Account, cluster_template: Callable[..., Path]) -> Iterator[PlainServer]:
    """A server with a table, for all tests here."""
    with lasting_server(binaries_or_skip(16), cluster_template, server_user, {}) as (_, server):
        sql(
            server, "CREATE TABLE slips AS SELECT g AS n, repeat(md5(g::text), 8) AS x FROM generate_series(1, 20000) g"
        )
        yield server


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto's S3, with a bucket."""
    with bucket(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def home(short_tmp: Path) -> Path:
    """A folder that the servers' account may enter."""
    return short_tmp / "pitstop"


def installed(home: Path, server: PlainServer, copies: str, **more: Any) -> Installation:
    """Make an installation with several repositories."""
    extra = {**RIGHTS, "copies": f'"{copies}"', "databases": '["postgres"]'}
    here = install_copies(home, server, extra, top=f'[restore]\ndirectory = "{home}/restores"', **more)
    home.chmod(0o755)
    return here


def away(here: Installation, name: str = "second") -> Path:
    """Take a repository's folder away; return where it is."""
    folder = here.home / ("repository" if name == "local" else name)
    return folder.rename(folder.with_name(f"{name}-away"))


def back(here: Installation, name: str = "second") -> None:
    """Bring a repository's folder back."""
    folder = here.home / ("repository" if name == "local" else name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_name(f"{name}-away").rename(folder)


def ids(here: Installation, name: str) -> list[BackupId]:
    """Return the backups that a repository lists."""
    return [backup.id for backup in here.repository(name).backups()]


def same(here: Installation, *names: str) -> bool:
    """Say whether repositories hold the same volumes, byte for byte, all of them whole."""
    found = []
    for name in names:
        opened = here.repository(name)
        assert list(examine(opened)) == [], name
        store = opened.repository.store
        paths = [
            info.path for info in store.list(CLUSTER) if "/volumes/" in info.path or info.path.endswith("/manifest")
        ]
        found.append({path: store.read(path) for path in paths})
    return all(one == found[0] for one in found)


def rows(request: Request) -> int:
    """Return how many rows the recovered server holds."""
    assert request.state is State.SUCCEEDED, request.outcome
    with psycopg.connect(str((request.outcome or {})["dsn"])) as connection:
        found = connection.execute("SELECT count(*) FROM slips").fetchone()
    assert found is not None
    return int(found[0])


def concerns(here: Installation, condition: str) -> list[str]:
    """Let the monitor look, and return the sentences of the alerts of a condition that stand."""
    Monitor(here.config, here.ledger).look()
    with here.ledger.read() as tx:
        standing = [one for one in alerts.list(tx) if one.state is not AlertState.RESOLVED]
    return [one.concern.sentence for one in standing if one.concern.condition == condition]


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_behind_a_folder_and_a_bucket(home: Path, server: PlainServer, cloud: str) -> None:
    """A backup goes to the first repository; one that was away and a bucket are caught up later; meanwhile their lag is
    measured, an alert says so past its threshold, and ends by itself.
    """
    more = '[clusters.slips.objectives]\ncopies = { target = "1s", maximum = "1h" }\n'
    here = installed(home, server, "behind", cloud=cloud, more=more)
    with here.ledger.transaction() as tx:
        memory.counted_since(tx, Job.SYNC, CLUSTER, utc_now())
    made = [BackupId(here.run(Job.BASE_BACKUP)["id"]), BackupId(here.run(Job.DUMP)["id"])]
    place = Place(here.config, here.config_path, here.ledger)
    [run] = queue_after_backups(place)
    Spawner(place).start(only=run.id)
    wait_for(lambda: _run(here, run.id).state.ended, what="the sync after the backups")
    assert (_run(here, run.id).result or {})["ok"], _run(here, run.id)
    assert same(here, "local", "second", "offsite")

    away(here)
    made.append(BackupId(here.run(Job.BASE_BACKUP)["id"]))
    time.sleep(1.1)
    result = here.run(Job.SYNC)
    assert not result["ok"]
    assert [one["id"] for one in _of(result, "offsite")["copied"]] == made[2:]
    assert _of_lag(here, "second") == (1, made[2:])
    [told] = concerns(here, "copy-late")
    assert "second lacks 1 backup of slips" in told
    served = {
        (metric.name, sample.labels["repository"]): sample.value
        for metric in PitstopCollector(place, lambda: None).collect()
        for sample in metric.samples
        if metric.name.startswith("pitstop_copy_lag")
    }
    assert served["pitstop_copy_lag_backups", "second"] == 1
    assert served["pitstop_copy_lag_backups", "offsite"] == 0
    assert served["pitstop_copy_lag_bytes", "second"] > 0
    assert served["pitstop_copy_lag_seconds", "second"] >= 1
    back(here)
    assert here.run(Job.SYNC)["ok"]
    assert concerns(here, "copy-late") == []
    assert ids(here, "second") == ids(here, "local") == made
    assert same(here, "local", "second", "offsite")


def _of(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in result["repositories"] if one["repository"] == name)


def _of_lag(here: Installation, name: str) -> tuple[int, list[BackupId]]:
    with here.ledger.read() as tx:
        lag = next(one for one in behind(here.config, tx, CLUSTER, utc_now()) if one.repository == name)
    return len(lag.backups), list(lag.backups)


@pytest.mark.parametrize("receiver", [False, True])
def test_at_once(home: Path, server: PlainServer, cloud: str, receiver: bool) -> None:
    """Base backup and dump are written to all three at the same time, the same bytes, each with the WAL it needs."""
    here = installed(home, server, "at-once", cloud=cloud if not receiver else None)
    names = ["local", "second", *([] if receiver else ["offsite"])]
    if receiver:
        with here.receiving():
            base = here.run(Job.BASE_BACKUP)
    else:
        base = here.run(Job.BASE_BACKUP)
    dump = here.run(Job.DUMP)
    assert base["repositories"] == dump["repositories"] == names
    assert base["warnings"] == []
    assert same(here, *names)
    assert ids(here, "local")[-2:] == ids(here, "second")
    keys = [here.repository(name).repository.keys.ids() for name in names]
    assert all(one == keys[0] and len(one) == 1 for one in keys) or receiver
    nothing = here.run(Job.SYNC)
    assert nothing["ok"]
    assert [one["copied"] for one in nothing["repositories"]] == [[] for _ in names]


def test_at_once_with_one_failing_in_the_middle(home: Path, server: PlainServer) -> None:
    """A repository that goes away while a backup is written is left out and named; the others have it whole, and a sync brings
    it there; where all go away the backup fails and nothing of it is visible.
    """
    here = installed(home, server, "at-once", more="")
    slow = here.config_path.read_text("utf-8").replace('copies = "at-once"', 'copies = "at-once"\nmax_rate_kib = 8192')
    here.config_path.write_text(slow, "utf-8")
    here.config, _ = load(here.config_path)

    def lose(names: list[str]) -> threading.Thread:
        def when_copying() -> None:
            wait_for(lambda: any((here.home / names[-1]).glob("*/*/volumes/*/base/.*")), what="the copy")
            for name in names:
                (here.home / name).rename(here.home / f"{name}-away")

        thread = threading.Thread(target=when_copying)
        thread.start()
        return thread

    losing = lose(["second"])
    made = here.run(Job.BASE_BACKUP)
    losing.join()
    assert made["repositories"] == ["local"]
    assert made["not_in"] == ["second"]
    assert "second does not have this backup yet" in made["warnings"][-1]
    assert list(examine(here.repository())) == []
    (here.home / "second-away").rename(here.home / "second")
    assert ids(here, "second") == []
    assert here.run(Job.SYNC)["ok"]
    assert same(here, "local", "second")

    losing = lose(["second", "repository"])
    with pytest.raises(Unavailable) as failed:
        here.run(Job.BASE_BACKUP)
    losing.join()
    progress = "SELECT count(*) FROM pg_stat_progress_basebackup"
    wait_for(lambda: sql(server, progress) == [(0,)], what="the end of the backup on the server")
    assert failed.value.message
    for name in ("second", "repository"):
        (here.home / f"{name}-away").rename(here.home / name)
    assert ids(here, "local") == ids(here, "second") == [made["id"]]
    assert list(examine(here.repository())) == []


def test_killed_while_it_writes_to_both(home: Path, server: PlainServer) -> None:
    """kill -9 around the moment at which the backup begins to exist: in each repository it is whole or not there at all, and a
    sync brings it to the one that lacks it.
    """
    here = installed(home, server, "at-once")
    for wait_s in (0.0, 0.01, 0.02):
        run, process = here.spawn(Job.BASE_BACKUP)
        before = len(list(here.home.glob("*/*/*/backups/*/summary")))
        wait_for(lambda there=before: len(list(here.home.glob("*/*/*/backups/*/summary"))) > there, what="a summary")  # type: ignore[misc]
        time.sleep(wait_s)
        process.kill()
        process.wait()
        _ended(here, run)
        for name in ("local", "second"):
            assert list(examine(here.repository(name))) == []
    listed = {*ids(here, "local"), *ids(here, "second")}
    assert here.run(Job.SYNC)["ok"]
    assert set(ids(here, "local")) == set(ids(here, "second")) == listed
    assert here.run(Job.BASE_BACKUP)["repositories"] == ["local", "second"]


def test_restores_pass_over_what_is_away_or_damaged(home: Path, server: PlainServer) -> None:
    """The nearest sound copy is used; damage found while it is fetched is read elsewhere, said in the thread and marked; the
    next plan passes that copy over and says so; with the first repository gone everything comes back all the same.
    """
    here = installed(home, server, "behind")
    made = BackupId(here.run(Job.BASE_BACKUP)["id"])
    assert here.run(Job.SYNC)["ok"]
    [(count,)] = sql(server, "SELECT count(*) FROM slips")

    volume = max((here.home / "repository").glob(f"*/*/volumes/{made}/base/0*"), key=lambda path: path.stat().st_size)
    flip(volume)
    done = execute(here, approved(here, f"immediate:{made}").id)
    assert rows(done) == count
    assert done.plan is not None
    assert done.plan.steps.repository == "local"
    [said] = (done.outcome or {})["elsewhere"]
    assert volume.name in said
    assert "read from second" in said
    remove_server(here, done.id)
    [local], [second] = here.repository("local").backups(), here.repository("second").backups()
    assert local.damaged
    assert second.damaged is None

    planned = ask(here, f"immediate:{made}")
    assert planned.plan is not None
    assert planned.plan.steps.repository == "second"
    assert any("copy in local is passed over" in warning for warning in planned.plan.facts.warnings)
    away(here, "local")
    planned = ask(here, f"immediate:{made}")
    assert planned.plan is not None
    assert planned.plan.steps.repository == "second"
    assert any("local" in warning for warning in planned.plan.facts.warnings)
    done = execute(here, agreed(here, planned).id)
    assert rows(done) == count
    remove_server(here, done.id)


def test_a_dump_is_read_elsewhere(home: Path, server: PlainServer) -> None:
    """A damaged volume of a dump comes from the other repository, and so does all of it where the planned one is gone by then."""
    here = installed(home, server, "at-once")
    made = BackupId(here.run(Job.DUMP)["id"])
    [volume] = (here.home / "repository").glob(f"*/*/volumes/{made}/db-0/0*")
    flip(volume)
    wanted = Wanted(backup=made, database="postgres")
    planned = asked(here, "restore", wanted, wanted.text(), {"kind": "database", "database": f"copy_{os.getpid()}"})
    done = execute(here, agreed(here, planned).id)
    assert done.state is State.SUCCEEDED, done.outcome
    sql(server, f"DROP DATABASE copy_{os.getpid()}")
    assert done.plan is not None
    assert done.plan.steps.repository == "local"
    assert any("read from second" in said for said in (done.outcome or {})["elsewhere"])
    assert here.repository("local").find(made).damaged  # type: ignore[union-attr]

    planned = asked(here, "restore", wanted, wanted.text(), {"kind": "database", "database": f"copy_{os.getpid()}"})
    assert planned.plan is not None
    assert planned.plan.steps.repository == "second"
    away(here)
    flip(volume)  # and well again
    done = execute(here, agreed(here, planned).id)
    assert done.state is State.SUCCEEDED, done.outcome
    sql(server, f"DROP DATABASE copy_{os.getpid()}")
    assert any("is read instead" in said for said in (done.outcome or {})["elsewhere"])


def test_killed_while_it_copies(home: Path, server: PlainServer) -> None:
    """kill -9 of the run at several moments: what the target lists is whole, and the next run ends what was begun."""
    here = installed(home, server, "behind")
    for _ in range(2):
        here.run(Job.BASE_BACKUP)
    for moment in (0.0, 0.1, 0.3):
        run, process = here.spawn(Job.SYNC)
        wait_for((here.home / "second" / CLUSTER).exists, what="the first object")
        time.sleep(moment)
        process.kill()
        process.wait()
        _ended(here, run)
        if list((here.home / "second").glob("*/*/cluster.json")):
            assert list(examine(here.repository("second"))) == []
    assert here.run(Job.SYNC)["ok"]
    assert same(here, "local", "second")


def _run(here: Installation, run: RunId) -> Run:
    with here.ledger.read() as tx:
        return runs.get(tx, run)


def _ended(here: Installation, run: RunId) -> None:
    if not _run(here, run).state.ended:
        desk.interrupt_run(here.ledger, run, utc_now())

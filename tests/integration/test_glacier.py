"""A recovery from a backup whose volumes lie in Glacier: the plan says so, and once approved they are asked for and waited for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from bot.config import load
from bot.host.accounts import Account
from bot.model.ids import BackupId
from bot.model.requests import State
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.repository import layout
from bot.repository.stores.cloud import CloudStore
from bot.repository.stores.s3 import S3
from tests.contract.conftest import environment, s3_server
from tests.jobs import Installation, install, wait_for
from tests.recoveries import RIGHTS, agreed, approved, ask, get, lasting_server, remove_server, run_of
from tests.servers import binaries_or_skip
from tests.servers import execute as sql
from tests.supervised import Supervised

__all__ = ["environment", "s3_server"]

pytestmark = pytest.mark.pg

BULK_S = 12 * 3600


@pytest.fixture
def supervised(s3_server: str, server_user: Account, cluster_template: Any) -> Iterator[Supervised]:
    """An installation with a bucket: a base backup that was moved to Glacier, and WAL after it, which stays awake."""
    place = f'url = "s3://backups/{secrets.token_hex(6)}"\nendpoint_url = "{s3_server}"'
    with lasting_server(binaries_or_skip(18), cluster_template, server_user, {"wal_level": "replica"}) as (
        home,
        server,
    ):
        here = _in(install(home / "pitstop", server, {**RIGHTS, "wal_durable_within": '"1s"'}), place, home)
        with here.receiving():
            backup = BackupId(str(here.run(Job.BASE_BACKUP)["id"]))
            sql(server, "CREATE TABLE t AS SELECT generate_series(1, 1000) n")
            end = Lsn.parse(str(sql(server, "SELECT pg_current_wal_flush_lsn()")[0][0]))
            archive = here.repository().wal
            wait_for(lambda: any(one.covers(end) for one in archive.ranges()), timeout_s=120, what="WAL in the bucket")
        put_to_sleep(here, backup)
        made = Supervised(here)
        yield made
        made.end_runs()


def _in(here: Installation, place: str, home: Path) -> Installation:
    text = here.config_path.read_text("utf-8").replace(f'url = "file://{here.home}/repository"', place)
    here.config_path.write_text(f'{text}[restore]\ndirectory = "{home}/restores"\n', "utf-8")
    return Installation(here.home, here.config_path, load(here.config_path)[0], here.ledger)


def volumes(here: Installation, backup: BackupId) -> list[str]:
    """Return the paths of a backup's volumes."""
    cluster = here.repository()
    names = cluster.repository.store.names(layout.volumes_of(cluster.name, cluster.system_id, backup))
    return [path for path in names if layout.kind_of(path) == "volume"]


def put_to_sleep(here: Installation, backup: BackupId) -> None:
    """Move a backup's volumes to Glacier, as a lifecycle rule does."""
    store = cast(CloudStore, here.repository().repository.store)
    for path in volumes(here, backup):
        cast(S3, store.cloud).call("put_object", path, Body=store.read(path), StorageClass="GLACIER")


def test_asked_for_once_it_is_approved(supervised: Supervised) -> None:
    """Without `retrieval` plan and executor say what to set, and nothing is asked for or left; with it the plan says how long it
    takes and counts it, and the executor, killed while it waits, goes on by itself when all is back.
    """
    here = supervised.here
    store = cast(CloudStore, here.repository().repository.store)
    [backup] = [one.id for one in here.repository().backups()]
    request = approved(here, "latest")
    assert request.plan is not None
    assert "nobody asks for them until repositories.local.retrieval is set" in request.plan.facts.warnings[0]
    assert (request.plan.facts.estimate_s, request.plan.facts.basis[:14]) == (None, "until somebody")
    supervised.start(request.id)
    failed = supervised.until_ended(request.id)
    assert (failed.state, (failed.outcome or {})["code"]) == (State.FAILED, "storage-archived")
    assert not Path(request.plan.steps.beside.directory).exists()
    assert {store.asleep(path) for path in volumes(here, backup)} == {"asleep"}

    text = here.config_path.read_text("utf-8").replace(
        "[repositories.local]", '[repositories.local]\nretrieval = "bulk"'
    )
    here.config_path.write_text(text, "utf-8")
    here = Installation(here.home, here.config_path, load(here.config_path)[0], here.ledger)
    again = Supervised(here)
    planned = ask(here, "latest")
    assert planned.plan is not None
    assert "bulk retrieval takes 5 h to 12 h, asked for once this is approved" in planned.plan.facts.warnings[0]
    assert (planned.plan.facts.estimate_s or 0) >= BULK_S
    assert planned.plan.facts.basis.startswith("with the retrieval")
    assert {store.asleep(path) for path in volumes(here, backup)} == {"asleep"}, "a plan costs nothing"
    run = again.start(agreed(here, planned).id)
    wait_for(lambda: "retrieve" in {one.name for one in run_of(here, run).phases}, timeout_s=120, what="the retrieval")
    wait_for(lambda: {store.asleep(p) for p in volumes(here, backup)} == {"awake"}, timeout_s=60, what="the objects")
    again.kill(run)
    again.watch.look()
    assert get(here, planned.id).state is State.INTERRUPTED
    done = again.until_ended(planned.id)
    assert done.state is State.SUCCEEDED, done.outcome
    with psycopg.connect((done.outcome or {})["dsn"]) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)
    remove_server(here, planned.id)

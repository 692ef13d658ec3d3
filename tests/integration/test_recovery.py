"""Recovery of isolated servers: exactly to the target, proved, promoted; and what happens when it cannot be reached."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from bot.host.accounts import Account
from bot.model.targets import ResolvedTarget
from bot.model.wal import Lsn
from bot.postgres.access import grant_access
from bot.postgres.recovery import recover
from tests.restores import KEEP_WAL, at_end, insert_position, take_small_backup
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg


@pytest.mark.parametrize("major", [15, 16, 18])
def test_recovery_stops_exactly_before_the_target_record(
    plain_server: PlainServerFactory, server_user: Account, tmp_path: Path, major: int
) -> None:
    """Everything before the target record is there, nothing from it on; the server is promoted and takes writes."""
    source = plain_server(major, settings=KEEP_WAL)
    execute(source, "CREATE TABLE t (n int)")
    backup = take_small_backup(source, tmp_path / "copy")
    execute(source, "INSERT INTO t SELECT generate_series(1, 1000)")
    lsn = insert_position(source)
    execute(source, "DROP TABLE t")
    execute(source, "SELECT pg_switch_wal()")
    target = ResolvedTarget(timeline=1, lsn=lsn, record_exists=True)
    seen: list[Lsn] = []
    with backup.prepared(target, server_user) as (server, service):
        proof = recover(server, target=target, on_progress=seen.append, wal=service)
        assert proof.reached_lsn == lsn
        assert str(lsn) in proof.log_line
        assert proof.timeline == 2
        with psycopg.connect(grant_access(server, "oncall")) as people:
            assert people.execute("SELECT count(*) FROM t").fetchone() == (1000,)
            people.execute("CREATE TABLE mine ()")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    "major", [pytest.param(15, marks=pytest.mark.full), pytest.param(16, marks=pytest.mark.full), 18]
)
def test_latest_ends_where_the_served_wal_ends(
    plain_server: PlainServerFactory, server_user: Account, tmp_path: Path, major: int
) -> None:
    """With no record at the target, WAL that arrives after planning is not replayed although it exists."""
    source = plain_server(major, settings=KEEP_WAL)
    execute(source, "CREATE TABLE t (n int)")
    backup = take_small_backup(source, tmp_path / "copy")
    execute(source, "INSERT INTO t SELECT generate_series(1, 1000)")
    target = at_end(source)
    execute(source, "INSERT INTO t SELECT generate_series(1, 1000)")
    with backup.prepared(target, server_user) as (server, service):
        proof = recover(server, target=target, wal=service)
        assert proof.reached_lsn == target.lsn
        with psycopg.connect(server.dsn()) as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)

"""The majors that come without client tools, 14 and 17: backup, stream, and a restore to the end of the WAL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import Corruption
from bot.model.ids import BackupId
from bot.model.runs import Job
from bot.postgres.binaries import Binaries
from bot.repository.examine import examine
from tests.integration.backups import own, started, unpack
from tests.integration.wal_truth import KEEP, check_same, flushed, switch, wait_durable, writing
from tests.jobs import install
from tests.npm_postgres import npm_postgres
from tests.servers import PlainServerFactory, execute

__all__ = ["npm_postgres"]

pytestmark = [pytest.mark.pg, pytest.mark.full]


@pytest.mark.parametrize("major", [14, 17])
def test_backup_stream_and_restore(
    npm_postgres: Callable[[int], Binaries],
    plain_server: PlainServerFactory,
    server_home: Path,
    tmp_path: Path,
    major: int,
) -> None:
    """A backup under load with a tablespace, then the stream: the restored copy has every row that was acknowledged."""
    server = plain_server(npm_postgres(major), settings=KEEP)
    space = server_home / "space"
    space.mkdir()
    own(server, space)
    execute(server, f"CREATE TABLESPACE fast LOCATION '{space}'")
    execute(server, "CREATE TABLE spaced TABLESPACE fast AS SELECT g AS n FROM generate_series(1, 3000) g")
    here = install(tmp_path / "pitstop", server, {"wal_durable_within": '"1s"'})
    with here.receiving():
        with writing(server) as acknowledged:
            made = here.run(Job.BASE_BACKUP)["id"]
            switch(server)
        end = flushed(server)
        wait_durable(here, end)
        assert here.run(Job.WAL_CHECK)["ok"]
    check_same(here, server, until=end)
    assert list(examine(here.repository())) == []
    manifest = here.repository().manifest(BackupId(made))
    assert manifest.server_version // 10000 == major
    assert manifest.body["server_facts"]["config_missing"] is None
    home = server_home / "restored"
    home.mkdir()
    data = unpack(here, server, manifest, home)
    with started(server, data) as restored:
        assert execute(restored, "SELECT count(*) FROM spaced") == [(3000,)]
        assert execute(restored, "SELECT count(*) FROM log") == [(len(acknowledged),)]


@pytest.mark.parametrize("major", [14, 17])
def test_a_backup_without_a_receiver_and_a_corrupt_page(
    npm_postgres: Callable[[int], Binaries],
    plain_server: PlainServerFactory,
    tmp_path: Path,
    major: int,
) -> None:
    """The job brings its own WAL, and a damaged page is named by file and block."""
    server = plain_server(npm_postgres(major), options=["--data-checksums"])
    execute(server, "CREATE TABLE t AS SELECT g AS n, repeat('x', 500) AS x FROM generate_series(1, 500) g")
    execute(server, "CHECKPOINT")
    here = install(tmp_path / "pitstop", server)
    clean = here.run(Job.BASE_BACKUP)["id"]
    [(path,)] = execute(server, "SELECT pg_relation_filepath('t')")
    with (server.data_directory / str(path)).open("r+b") as file:
        file.seek(3 * 8192 + 4000)
        file.write(b"rotten")
    with pytest.raises(Corruption) as caught:
        here.run(Job.BASE_BACKUP)
    assert f"{path} block 3" in caught.value.message
    both = {(b.id == clean, b.damaged is None) for b in here.repository().backups()}
    assert both == {(True, True), (False, False)}


@pytest.mark.parametrize("major", [14, 17])
def test_a_dump_by_a_later_pg_dump(
    npm_postgres: Callable[[int], Binaries],
    plain_server: PlainServerFactory,
    tmp_path: Path,
    major: int,
) -> None:
    """A server whose own major has no pg_dump here is dumped by the next later one, counted and readable."""
    server = plain_server(npm_postgres(major))
    execute(server, "CREATE TABLE t AS SELECT g AS n, repeat('x', 500) AS x FROM generate_series(1, 500) g")
    execute(server, "SELECT lo_from_bytea(0, 'x')")
    here = install(tmp_path / "pitstop", server)
    result = here.run(Job.DUMP)
    assert result["databases"] == [{"name": "postgres", "tables": 1, "rows": 500}]
    body = here.repository().manifest(BackupId(result["id"])).body
    assert body["tools"]["version_num"] // 10000 > major
    assert body["databases"][0]["large_objects"] == 1
    assert list(examine(here.repository())) == []

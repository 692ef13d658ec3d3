"""The hourly WAL check and several repositories: what is durable where, and every hole by its name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bot.model.runs import Job
from bot.model.wal import Lsn, segment_name, segment_start
from jobs.wal.slots import slot_names
from tests.integration.wal_truth import KEEP, compare, flushed, switch, wait_durable
from tests.jobs import CLUSTER, Installation, install, wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

FAST_PIECES = {"wal_durable_within": '"1s"'}


def codes(result: dict[str, Any]) -> set[str]:
    """Return the codes of what is not fine."""
    return {finding["code"] for finding in result["findings"] if finding["level"] == "fail"}


def two_repositories(here: Installation) -> str:
    """Return the table of a second repository."""
    return f'[repositories.offsite]\nurl = "file://{here.home}/offsite"'


@pytest.mark.parametrize("major", [15, 18])
def test_an_idle_and_a_busy_cluster_are_fine(plain_server: PlainServerFactory, tmp_path: Path, major: int) -> None:
    """Idle or busy, with a receiver and a backup each repository holds all the server had written when it was asked."""
    server = plain_server(major, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        for step in ("idle", "busy"):
            if step == "busy":
                switch(server)
                execute(server, "CREATE TABLE t AS SELECT generate_series(1, 1000)")
            asked = flushed(server)
            result = here.run(Job.WAL_CHECK)
            assert result["ok"], result["findings"]
            assert Lsn.parse(result["server_lsn"]) >= asked
            assert Lsn.parse(result["repositories"]["local"]["durable_lsn"]) >= asked


def test_what_is_missing_is_named(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """No receiver, no slot, a segment gone: each is a finding with the line that helps, and the hole is named by its LSNs."""
    server = plain_server(16, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    with here.receiving():
        here.run(Job.BASE_BACKUP)
        for _ in range(3):
            switch(server)
        wait_durable(here, flushed(server))
    [first, *_] = here.repository().backups()
    number = first.start_lsn // (16 << 20) + 1
    [segment] = (here.home / "repository").rglob(segment_name(1, number))
    segment.unlink()
    result = here.run(Job.WAL_CHECK)
    assert codes(result) == {"receiver-down", "wal-hole"}
    [hole] = [finding for finding in result["findings"] if finding["code"] == "wal-hole"]
    assert f"{segment_start(number)} to {segment_start(number + 1)}" in hole["sentence"]
    assert first.id in hole["sentence"]
    assert all(finding["fix"] for finding in result["findings"] if finding["level"] == "fail")
    names = slot_names(CLUSTER)
    execute(server, f"SELECT pg_drop_replication_slot('{names.durable}')")
    assert "slot-missing" in codes(here.run(Job.WAL_CHECK))


def test_two_repositories_are_each_complete(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """WAL goes to both; while one is away the other goes on and the spool keeps what the first lacks; it is caught up later."""
    server = plain_server(18, settings=KEEP)
    first = install(tmp_path / "pitstop", server)
    here = install(first.home, server, FAST_PIECES, top=two_repositories(first))
    offsite = here.home / "offsite"
    with here.receiving():
        execute(server, "CREATE TABLE t ()")
        for name in ("local", "offsite"):
            wait_for(lambda name=name: ready(here, name), what=f"the repository {name}")  # type: ignore[misc]
            wait_durable(here, flushed(server), name)
        offsite.rename(here.home / "away")
        offsite.mkdir()
        for _ in range(2):
            switch(server)
        end = flushed(server)
        wait_durable(here, end)
        kept = here.spool.names()
        assert len([name for name in kept if len(name) == 24]) >= 2
        offsite.rmdir()
        (here.home / "away").rename(offsite)
        wait_durable(here, end, "offsite")
        wait_for(lambda: not here.spool.names(), what="the clearing of the spool")
    for name in ("local", "offsite"):
        [piece] = here.repository(name).wal.ranges()
        compare(here, server.data_directory / "pg_wal", piece)


def test_a_spool_lost_while_a_repository_was_away(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """What only the other repository has by then, neither spool nor server, is copied from there: both are complete again."""
    server = plain_server(16, settings={"max_slot_wal_keep_size": "-1", "wal_keep_size": "0", "max_wal_size": "64MB"})
    first = install(tmp_path / "pitstop", server)
    here = install(first.home, server, FAST_PIECES, top=two_repositories(first))
    offsite = here.home / "offsite"
    run, process = here.spawn(Job.WAL_STREAM)
    for name in ("local", "offsite"):
        wait_for(lambda name=name: ready(here, name), what=f"the repository {name}")  # type: ignore[misc]
    switch(server)
    wait_for(lambda: bool(here.repository("offsite").wal.inventory().segments), what="a whole segment")
    offsite.rename(here.home / "away")
    offsite.mkdir()
    for _ in range(7):
        switch(server)
    wait_durable(here, flushed(server))
    here.kill(run, process)
    shutil.rmtree(here.config.spool)
    execute(server, "CHECKPOINT")
    offsite.rmdir()
    (here.home / "away").rename(offsite)
    [before] = here.repository("local").wal.ranges()
    with here.receiving():
        switch(server)
        end = flushed(server)
        wait_for(lambda: [p.end >= end for p in here.repository("offsite").wal.ranges()] == [True], 60, "the filling")
    [both, theirs] = [here.repository(name).wal.ranges()[0] for name in ("local", "offsite")]
    assert theirs.start <= before.end
    for number in range(theirs.start // (16 << 20), theirs.end // (16 << 20)):
        copied = here.repository("offsite").wal.read_segment(1, number)
        assert copied is not None
        assert copied == here.repository("local").wal.read_segment(1, number)
    assert both.start <= theirs.start


def ready(here: Installation, name: str) -> bool:
    """Say whether a repository has been begun."""
    folder = here.home / ("repository" if name == "local" else name)
    return any(folder.glob("*/*/cluster.json"))

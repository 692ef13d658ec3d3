"""The WAL receiver: no byte is ever missing or different, whatever dies, is away, or is taken from it."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.errors import Conflict
from bot.host.locks import is_locked
from bot.ledger import wal_status
from bot.ledger.wal_status import WalStatus
from bot.model.ids import ClusterName
from bot.model.runs import Job
from bot.model.wal import Lsn, segment_name
from bot.postgres.connect import connect
from bot.postgres.plain import PlainServer
from bot.repository.examine import examine
from jobs.wal.slots import read_slot, slot_names
from tests.integration.wal_truth import KEEP, check_same, durable, flushed, switch, wait_durable, writing
from tests.jobs import CLUSTER, install, wait_for
from tests.servers import FAST, PlainServerFactory, execute

pytestmark = pytest.mark.pg

SLOTS = slot_names(CLUSTER)
FAST_PIECES = {"wal_durable_within": '"1s"'}


def kept_slot(server: PlainServer) -> Lsn:
    """Return where the slot stands that is never streamed."""
    with connect(server.dsn()) as sql:
        state = read_slot(sql, SLOTS.durable)
    assert state is not None
    assert state.restart_lsn is not None
    return state.restart_lsn


def restarted(server: PlainServer, mode: str = "immediate") -> PlainServer:
    """Stop a server and start it anew in its place."""
    server.stop(mode)
    return PlainServer.start(
        server.binaries, server.data_directory, server.account, socket_dir=server.socket_dir,
        settings={**FAST, **KEEP}, log=server.log,
    )  # fmt: skip


@pytest.mark.parametrize("major", [15, 16, 18])
def test_everything_arrives(plain_server: PlainServerFactory, tmp_path: Path, major: int) -> None:
    """Under load across several segments all WAL comes into the repository, byte for byte the server's own, with both slots."""
    server = plain_server(major, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    with here.receiving():
        with writing(server) as acknowledged:
            for _ in range(3):
                wait_for(lambda: len(acknowledged) > 50, what="some commits")
                switch(server)
        end = flushed(server)
        wait_durable(here, end)
        assert kept_slot(server) <= durable(here)
        names = execute(server, "SELECT slot_name, active FROM pg_replication_slots ORDER BY 1")
        assert names == [(SLOTS.stream, True), (SLOTS.durable, False)]
    check_same(here, server, until=end)
    assert list(examine(here.repository())) == []
    assert not is_locked(here.spool.lock_path)


def test_an_idle_cluster_has_nothing_to_lose(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """On an idle server all it ever wrote is durable within seconds, as a partial piece and without a segment switch."""
    server = plain_server(16, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    with here.receiving():
        execute(server, "CREATE TABLE last_words ()")
        end = flushed(server)
        wait_durable(here, end)
        assert here.repository().wal.inventory().partial_ends, "it came as a piece"
        [(now,)] = execute(server, "SELECT pg_walfile_name(pg_current_wal_lsn())")
        pieces = list((here.home / "repository").glob(f"*/*/wal/00000001/{now}.partial/*"))
        assert pieces
        assert all(len(piece.name.split("-")) == 2 for piece in pieces)
    check_same(here, server, until=end)


def test_killed_at_random_moments(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """kill -9 of the receiver again and again while commits go on: not one byte is missing or different in the end."""
    kill_repeatedly(plain_server(18, settings=KEEP), tmp_path, seed=1, turns=4)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 20))
def test_killed_at_random_moments_for_long(plain_server: PlainServerFactory, tmp_path: Path, seed: int) -> None:
    """The same, longer, on all three majors."""
    kill_repeatedly(plain_server([15, 16, 18][seed % 3], settings=KEEP), tmp_path, seed, turns=20)


def kill_repeatedly(server: PlainServer, folder: Path, seed: int, turns: int) -> None:
    """Kill and start the receiver `turns` times under load, then prove continuity."""
    here, rng = install(folder / "pitstop", server, FAST_PIECES), random.Random(seed)
    with writing(server):
        for turn in range(turns):
            run, process = here.spawn(Job.WAL_STREAM)
            wait_for(lambda: is_locked(here.spool.lock_path), what="the receiver's start")
            if turn % 2:
                switch(server)
            time.sleep(rng.uniform(0.2, 1.5))
            here.kill(run, process)
    with here.receiving():
        end = flushed(server)
        wait_durable(here, end)
    check_same(here, server, until=end)
    assert list(examine(here.repository())) == []
    assert here.source().ranges()[0].start % (16 << 20) == 0


def test_the_second_slot_waits_for_the_repository(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """While the repository is away WAL is spooled and the kept slot stays; once it is back it catches up, and the slot moves."""
    server = plain_server(18, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    root = here.home / "repository"
    with here.receiving() as context:
        execute(server, "CREATE TABLE t ()")
        wait_durable(here, flushed(server))
        root.rename(here.home / "unmounted")
        root.mkdir()
        limit = flushed(server)
        for _ in range(3):
            switch(server)
        end = flushed(server)
        wait_for(lambda: len(here.spool.names()) >= 3, what="spooled segments")
        time.sleep(2)
        before = kept_slot(server)
        assert before <= limit, "the server may drop nothing that only the spool has"
        assert list(root.iterdir()) == [], "nothing is written into the empty mount point"
        assert "repository" in context._note
        root.rmdir()
        (here.home / "unmounted").rename(root)
        wait_durable(here, end)
        wait_for(lambda: kept_slot(server) > before, what="the slot's move")
    check_same(here, server, until=end)


def test_a_lost_spool_is_no_gap(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """The spool is lost, with WAL in it that no repository has, while the server is well: the kept slot brings it again."""
    server = plain_server(16, settings={"max_slot_wal_keep_size": "-1", "wal_keep_size": "0"})
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    root = here.home / "repository"
    execute(server, "CREATE TABLE t AS SELECT 1")
    run, process = here.spawn(Job.WAL_STREAM)
    wait_for(root.exists, what="the repository")
    wait_durable(here, flushed(server))
    root.rename(here.home / "away")
    root.mkdir()
    for _ in range(3):
        switch(server)
    end = flushed(server)
    wait_for(lambda: len(here.spool.names()) >= 3, what="spooled segments")
    execute(server, "CHECKPOINT")
    here.kill(run, process)
    shutil.rmtree(here.config.spool)
    root.rmdir()
    (here.home / "away").rename(root)
    with here.receiving():
        wait_durable(here, end)
        [piece] = [p for p in here.repository().wal.ranges() if p.timeline == 1]
        assert piece.end >= end
    check_same(here, server, until=end)


def test_the_slot_alone_would_leave_a_gap(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """What the server no longer has is told as a hole, by its LSNs, and streaming goes on behind it."""
    server = plain_server(16, settings={"max_slot_wal_keep_size": "-1", "wal_keep_size": "0", "max_wal_size": "64MB"})
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    with here.receiving():
        execute(server, "CREATE TABLE t ()")
        reached = flushed(server)
        wait_durable(here, reached)
    execute(server, f"SELECT pg_drop_replication_slot('{SLOTS.stream}'), pg_drop_replication_slot('{SLOTS.durable}')")
    for _ in range(6):
        switch(server)
    execute(server, "CHECKPOINT")
    with here.receiving() as context:
        switch(server)
        wait_durable(here, flushed(server))
        wait_for(lambda: "is lost; take a new base backup" in context._note, what="the gap's note")
    first, second = [piece for piece in here.repository().wal.ranges() if piece.timeline == 1]
    assert first.end < second.start
    assert str(second.start) in context._note


def test_a_ledger_that_is_locked_or_gone(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """While somebody holds the ledger's write lock, and after its file vanished, WAL goes on into the repository."""
    server = plain_server(16, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    _, process = here.spawn(Job.WAL_STREAM)
    wait_durable(here, flushed(server))
    with sqlite3.connect(here.ledger.path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        switch(server)
        execute(server, "CREATE TABLE while_locked ()")
        wait_durable(here, flushed(server))
        holder.execute("ROLLBACK")
    holder.close()
    for file in here.home.glob("ledger.db*"):
        file.unlink()
    switch(server)
    execute(server, "CREATE TABLE while_gone ()")
    end = flushed(server)
    wait_durable(here, end)
    assert process.poll() is None
    process.kill()
    process.wait()
    check_same(here, server, until=end)


def test_a_restarted_server(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """The server crashes and is restarted, twice, under load: the receiver comes back by itself, and nothing is missing."""
    server = plain_server(18, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    with here.receiving():
        with writing(server, pause_s=0.002):
            for mode in ("immediate", "fast"):
                time.sleep(1)
                server = restarted(server, mode)
            time.sleep(1)
        end = flushed(server)
        wait_durable(here, end)
    check_same(here, server, until=end)
    server.stop("immediate")


def test_a_server_that_is_away_is_said_to_be(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """While the server is down the ledger says since when, what was read of it stays of then, and each turn is logged once."""
    server = plain_server(18, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)

    def said() -> WalStatus:
        with here.ledger.read() as tx:
            return wal_status.list(tx, ClusterName(CLUSTER))[0]

    def anything() -> bool:
        with here.ledger.read() as tx:
            return bool(wal_status.list(tx, ClusterName(CLUSTER)))

    with capture_logs() as logged, here.receiving():
        wait_for(anything, what="a first word")
        wait_for(lambda: said().server_at is not None and said().away_since is None, what="word of the server")
        server.stop("fast")
        wait_for(lambda: said().away_since is not None, what="word that the server is away")
        first = said()
        wait_for(lambda: said().at > first.at, what="a later word")
        assert (said().away_since, said().server_at) == (first.away_since, first.server_at)
        server = restarted(server)  # stopping what has stopped is fine
        wait_for(lambda: said().away_since is None, what="word that the server is back")
    assert [each["event"] for each in logged] == ["server does not answer", "server answers again"]
    server.stop("immediate")


def test_two_receivers(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A second receiver for the same spool is refused by name, and the first goes on."""
    server = plain_server(16, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    _, process = here.spawn(Job.WAL_STREAM)
    wait_for(lambda: is_locked(here.spool.lock_path), what="the first receiver")
    second = install(tmp_path / "second", server)
    (tmp_path / "second/spool").symlink_to(here.config.spool)
    with pytest.raises(Conflict) as caught:
        second.run(Job.WAL_STREAM)
    assert caught.value.reason_code == "receiver-running"
    execute(server, "CREATE TABLE t ()")
    wait_durable(here, flushed(server))
    assert process.poll() is None
    process.kill()
    process.wait()


def test_another_cluster_in_its_place(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """When the server under the name is another one, its WAL goes to a history of its own, and the old spool is kept aside."""
    one, two = plain_server(16, settings=KEEP), plain_server(18, settings=KEEP)
    here = install(tmp_path / "pitstop", one, FAST_PIECES)
    root = here.home / "repository"
    run, process = here.spawn(Job.WAL_STREAM)
    wait_durable(here, flushed(one))
    root.rename(here.home / "away")
    root.mkdir()
    switch(one)
    wait_for(lambda: bool(here.spool.names()), what="a spooled segment")
    spooled = here.spool.names()
    here.kill(run, process)
    root.rmdir()
    (here.home / "away").rename(root)
    there = install(here.home, two, FAST_PIECES)
    with there.receiving():
        wait_for(lambda: len(there.repository_of_all().systems(CLUSTER)) == 2, what="the second history")
        [aside] = here.spool.directory.glob("wal.*")
        assert set(spooled) <= {path.name for path in aside.iterdir()}
        opened = there.repository_of_all()
        end = flushed(two)
        [new] = [s for s in opened.systems(CLUSTER) if s != aside.name.removeprefix("wal.")]
        wait_for(
            lambda: any(p.end >= end for p in there.repository_of_all().cluster(CLUSTER, new).wal.ranges()),
            what="its WAL",
        )


def test_pieces_are_replaced_by_the_whole(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Once a segment is whole in the repository its pieces go; the spool is cleared of what the repository has."""
    server = plain_server(16, settings=KEEP)
    here = install(tmp_path / "pitstop", server, FAST_PIECES)
    with here.receiving():
        execute(server, "CREATE TABLE t ()")
        wait_durable(here, flushed(server))
        [(timeline, number)] = here.repository().wal.inventory().partial_ends
        switch(server)
        name = segment_name(timeline, number)
        wait_for(lambda: list((here.home / "repository").rglob(name)) != [], what="the whole segment")
        wait_for(lambda: not list((here.home / "repository").rglob(f"{name}.partial")), what="the end of its pieces")
        wait_for(lambda: name not in here.spool.names(), what="the clearing of the spool")

"""Promotions and failovers: WAL of both timelines, the history, and a continuous line of descent."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.errors import Failed
from bot.model.timelines import Stretch, lineage
from bot.model.wal import Lsn, parse_history, segment_number, segment_start
from bot.postgres.plain import PlainServer
from jobs.wal.slots import slot_names
from tests.integration.backups import environment, own
from tests.integration.wal_truth import KEEP, compare, flushed, switch, wait_durable
from tests.jobs import CLUSTER, Installation, install, wait_for
from tests.servers import FAST, PlainServerFactory, execute

pytestmark = pytest.mark.pg

FAST_PIECES = {"wal_durable_within": '"1s"'}


@contextmanager
def standby_of(primary: PlainServer, home: Path) -> Iterator[PlainServer]:
    """Run a hot standby that streams from `primary`."""
    home.mkdir(mode=0o755)
    data, socket = home / "data", home / "socket"
    socket.mkdir(mode=0o700)
    tool = primary.binaries.tool("pg_basebackup")
    argv = [str(tool), "-h", str(primary.socket_dir), "-U", "postgres", "-D", str(data), "-c", "fast"]
    subprocess.run(argv, check=True, capture_output=True, env=environment())
    (data / "standby.signal").touch()
    own(primary, home)
    server = PlainServer.start(
        primary.binaries, data, primary.account, socket_dir=socket, log=home / "server.log",
        settings={**FAST, **KEEP, "primary_conninfo": f"host={primary.socket_dir} user=postgres"},
    )  # fmt: skip
    try:
        yield server
    finally:
        server.stop("immediate")


def replayed(standby: PlainServer, lsn: Lsn) -> None:
    """Wait until a standby has replayed up to `lsn`."""

    def reached() -> bool:
        [(at,)] = execute(standby, "SELECT pg_last_wal_replay_lsn()")
        return at is not None and Lsn.parse(str(at)) >= lsn

    wait_for(reached, what=f"replay up to {lsn}")


def promote(server: PlainServer) -> Lsn:
    """Promote a standby; return where its timeline 2 left timeline 1."""
    execute(server, "SELECT pg_promote(wait => true, wait_seconds => 60)")
    wait_for((server.data_directory / "pg_wal/00000002.history").exists, what="the history file")
    [fork] = parse_history((server.data_directory / "pg_wal/00000002.history").read_text())
    return fork.lsn


def line_of(here: Installation) -> list[Stretch]:
    """Return where the line of descent to timeline 2 can be read from the repository alone without a hole."""
    archive = here.repository().wal
    histories = {timeline: parse_history(data.decode()) for timeline, data in archive.histories().items()}
    return lineage(2, histories).stretches(archive.ranges(), archive.segment_bytes)


def check_child(here: Installation, server: PlainServer, fork: Lsn) -> None:
    """Hold timeline 2 to the promoted server's own files, from the segment that holds the fork on."""
    [child] = [piece for piece in here.repository().wal.ranges() if piece.timeline == 2]
    assert child.start == segment_start(segment_number(fork))
    compare(here, server.data_directory / "pg_wal", child)
    history = (server.data_directory / "pg_wal/00000002.history").read_bytes()
    assert here.repository().wal.histories() == {2: history}


@pytest.mark.parametrize("major", [pytest.param(15, marks=pytest.mark.full), 18])
def test_a_promotion_while_streaming(
    plain_server: PlainServerFactory, server_home: Path, tmp_path: Path, major: int
) -> None:
    """A standby is streamed from and promoted: the receiver follows it onto timeline 2 in the same session, without a hole."""
    primary = plain_server(major, settings=KEEP)
    execute(primary, "CREATE TABLE t (n int)")
    with standby_of(primary, server_home / "standby") as standby:
        here = install(tmp_path / "pitstop", standby, FAST_PIECES)
        with here.receiving():
            switch(primary)
            execute(primary, "INSERT INTO t SELECT generate_series(1, 1000)")
            before = flushed(primary)
            replayed(standby, before)
            wait_durable(here, before)
            fork = promote(standby)
            execute(standby, "INSERT INTO t SELECT generate_series(1, 1000)")
            switch(standby)
            execute(standby, "INSERT INTO t SELECT generate_series(1, 1000)")
            end = flushed(standby)
            wait_durable(here, end, timeline=2)
        check_child(here, standby, fork)
        [stretch] = line_of(here)
        assert stretch.end >= end
        assert stretch.start <= before
        first = [piece for piece in here.repository().wal.ranges() if piece.timeline == 1]
        assert first[-1].end >= fork, "the last pieces of timeline 1 are kept"


def test_a_failover_behind_what_was_streamed(
    plain_server: PlainServerFactory, server_home: Path, tmp_path: Path
) -> None:
    """The old primary streamed past the fork: the overrun stays under timeline 1, timeline 2 begins at the fork, without a hole.

    The promoted standby has neither of our slots; they are made anew.
    """
    primary = plain_server(16, settings=KEEP)
    execute(primary, "CREATE TABLE t (n int)")
    with standby_of(primary, server_home / "standby") as standby:
        here = install(tmp_path / "pitstop", primary, FAST_PIECES)
        with here.receiving():
            execute(primary, "INSERT INTO t SELECT generate_series(1, 1000)")
            common = flushed(primary)
            replayed(standby, common)
            execute(standby, "SELECT pg_wal_replay_pause()")
            standby.stop("fast")
            for _ in range(2):
                switch(primary)
            execute(primary, "INSERT INTO t SELECT generate_series(1, 100)")
            overrun = flushed(primary)
            wait_durable(here, overrun)
        primary.stop("immediate")
        promoted = PlainServer.start(
            standby.binaries, standby.data_directory, standby.account, socket_dir=standby.socket_dir,
            settings={**FAST, **KEEP}, log=standby.log,
        )  # fmt: skip
        try:
            fork = promote(promoted)
            assert fork < overrun
            there = install(here.home, promoted, FAST_PIECES)
            with there.receiving():
                execute(promoted, "INSERT INTO t SELECT generate_series(1, 1000)")
                switch(promoted)
                end = flushed(promoted)
                wait_durable(there, end, timeline=2)
                names = slot_names(CLUSTER)
                slots = execute(promoted, "SELECT slot_name FROM pg_replication_slots ORDER BY 1")
                assert slots == [(names.stream,), (names.durable,)]
            check_child(there, promoted, fork)
            kept = [piece for piece in there.repository().wal.ranges() if piece.timeline == 1]
            assert kept[-1].end >= overrun
            [stretch] = line_of(there)
            assert stretch.end >= end
            assert stretch.start < common
        finally:
            promoted.stop("immediate")


def test_wal_commands_on_a_real_server(plain_server: PlainServerFactory, server_home: Path, tmp_path: Path) -> None:
    """archive_command pushes and restore_command fetches: without a receiver recovery stops with an error instead of ending early;
    with one, which can prove the end, the server comes up with every row."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("no python3 that the server's account can run: apt-get install python3")
    program = server_home / "program"
    shutil.copytree(
        Path(__file__).resolve().parents[2] / "bot", program / "bot", ignore=shutil.ignore_patterns("__pycache__")
    )
    spool = server_home / "spool"
    (spool / CLUSTER).mkdir(parents=True)
    call = f"cd {program} && {python} -S -m bot wal"
    wal = f"P=$PWD; {call} push --spool {spool}/{CLUSTER} $P/%p"
    primary = plain_server(18, settings={"archive_mode": "on", "archive_command": wal})
    own(primary, spool)
    execute(primary, "CREATE TABLE t AS SELECT g AS n FROM generate_series(1, 1000) g")
    tool = primary.binaries.tool("pg_basebackup")
    copy = server_home / "copy"
    argv = [str(tool), "-h", str(primary.socket_dir), "-U", "postgres", "-D", str(copy), "-c", "fast", "-X", "none"]
    subprocess.run(argv, check=True, capture_output=True, env=environment())
    execute(primary, "INSERT INTO t SELECT generate_series(1, 500)")
    [(last,)] = execute(primary, "SELECT pg_walfile_name(pg_current_wal_lsn())")
    switch(primary)
    wait_for((spool / CLUSTER / "wal" / str(last)).exists, what="the archiving")
    primary.stop("fast")
    own(primary, copy)
    (copy / "recovery.signal").touch()
    here = install(tmp_path / "pitstop", primary)
    here.config.spool.symlink_to(spool)
    socket = server_home / "copy-socket"
    socket.mkdir(mode=0o700)
    own(primary, socket)
    settings = {
        **FAST,
        "archive_mode": "off",
        "restore_command": f"P=$PWD; {call} fetch --spool {spool}/{CLUSTER} %f $P/%p",
    }

    def start() -> PlainServer:
        return PlainServer.start(
            primary.binaries, copy, primary.account, socket_dir=socket, settings=settings, log=server_home / "copy.log"
        )

    with pytest.raises(Failed):
        start()
    assert "no receiver runs to ask" in (server_home / "copy.log").read_text()
    restart = PlainServer.start(
        primary.binaries,
        primary.data_directory,
        primary.account,
        socket_dir=primary.socket_dir,
        settings=FAST,
        log=primary.log,
    )
    try:
        with here.receiving():
            wait_for(here.spool.socket_path.exists, what="the receiver")
            here.spool.socket_path.chmod(0o666)
            ask = f"{call} fetch --spool {spool}/{CLUSTER} 0000004D.history {tmp_path}/none"
            # 255 until stock was taken of the repository: only then can the receiver prove that something is not there
            wait_for(
                lambda: subprocess.run(["sh", "-c", ask], check=False).returncode == 1, what="the receiver's stock"
            )
            recovered = start()
            try:
                wait_for(
                    lambda: execute(recovered, "SELECT pg_is_in_recovery()") == [(False,)], what="the end of recovery"
                )
                assert execute(recovered, "SELECT count(*) FROM t") == [(1500,)]
            finally:
                recovered.stop("immediate")
    finally:
        restart.stop("immediate")

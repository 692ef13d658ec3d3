"""What may go wrong with a dump: locks, migrations, sessions that are ended, programs and stores that are missing, kill -9."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bot import desk
from bot.errors import Conflict, Corruption, Failed, Unavailable
from bot.host.processes import pids
from bot.ledger import runs
from bot.model.dumps import Selection
from bot.model.ids import BackupId, RunId
from bot.model.runs import Job, RunState
from bot.postgres.dump_session import DumpSession
from bot.postgres.dump_snapshot import locked_snapshot
from bot.postgres.plain import PlainServer
from bot.repository.examine import examine
from jobs.context import JobContext, utc_now
from jobs.dump import run as run_dump
from tests.integration.test_base_backup_crash import LATER, begun, killed, phase_of
from tests.jobs import Installation, install, wait_for
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg

OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pitstop dump%'"


def rows(server: PlainServer, table: str = "t", count: int = 3000) -> None:
    """Make a table with rows."""
    execute(
        server,
        f"CREATE TABLE {table} AS SELECT g AS n, repeat(md5(g::text), 8) AS t FROM generate_series(1, {count}) g",
    )


def session(server: PlainServer) -> DumpSession:
    """Return how a dump reaches the server."""
    return DumpSession(server.dsn(), "postgres", server.binaries.major, "pitstop dump test")


def left_behind(here: Installation) -> list[Path]:
    """Return the objects of backups in the repository, and unfinished files."""
    return [path for path in (here.home / "repository").rglob("*-dump-*/**/*") if path.is_file()]


@pytest.mark.parametrize("major", [15, 18])
def test_a_table_emptied_after_the_snapshot_is_counted_as_it_was(plain_server: PlainServerFactory, major: int) -> None:
    """TRUNCATE has to wait for the locks: under a snapshot alone the count would be 0, and be believed."""
    server = plain_server(major)
    rows(server)
    with psycopg.connect(server.dsn()) as bare:
        bare.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        bare.execute("SELECT pg_export_snapshot()")
        execute(server, "TRUNCATE t")
        assert bare.execute("SELECT count(*) FROM t").fetchall() == [(0,)], "this is what the locks are for"
    execute(server, "INSERT INTO t SELECT g, '' FROM generate_series(1, 3000) g")
    with locked_snapshot(session(server), Selection().chosen, lock_wait_ms=1000) as snapshot:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            execute(server, "SET lock_timeout = '200ms'; TRUNCATE t")
        execute(server, "DELETE FROM t")
        [table] = snapshot.tables
        assert snapshot.count(table) == 3000
    execute(server, "TRUNCATE t")


def test_a_table_made_between_listing_and_locking_is_locked_too(plain_server: PlainServerFactory) -> None:
    """What is in the snapshot is locked: when a table appears or is swapped under its name in between, it begins anew."""
    server = plain_server(18)
    rows(server)
    turns = 0

    def meddle(tables: object) -> list[object]:
        nonlocal turns
        turns += 1
        if turns == 1:
            execute(server, "CREATE TABLE u AS SELECT 1 AS n")
            execute(server, "ALTER TABLE t RENAME TO old; CREATE TABLE t AS SELECT 1 AS n")
        return list(tables)  # type: ignore[call-overload,no-any-return]

    with locked_snapshot(session(server), meddle, lock_wait_ms=1000) as snapshot:  # type: ignore[arg-type]
        assert [table.name for table in snapshot.tables] == ["old", "t", "u"]
        for name in ("old", "t", "u"):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                execute(server, f"SET lock_timeout = '100ms'; TRUNCATE {name}")
    assert turns == 4


def test_a_table_somebody_holds(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A migration that holds a table for longer than `dump.lock_wait` ends the dump, names itself, and nothing stays."""
    server = plain_server(16)
    rows(server)
    here = install(tmp_path / "pitstop", server, {"dump": '{ lock_wait = "300ms" }'})
    with psycopg.connect(server.dsn()) as migration:
        migration.execute("ALTER TABLE t ADD COLUMN more int")
        with pytest.raises(Conflict) as refused:
            here.run(Job.DUMP)
        assert refused.value.reason_code == "table-locked"
        assert "public.t" in refused.value.message
        assert str(migration.info.backend_pid) in refused.value.hint
    assert left_behind(here) == []
    wait_for(lambda: execute(server, OURS) == [(0,)], what="the end of its sessions")
    assert here.run(Job.DUMP)["id"]


@contextmanager
def held_up(server: PlainServer, here: Installation) -> Iterator[tuple[JobContext, list[BaseException]]]:
    """Run a dump whose pg_dump hangs while all tables are locked: somebody holds what it wants to read next."""
    context, failures = here.context(Job.DUMP), list[BaseException]()

    def work() -> None:
        try:
            run_dump(context)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    # Only pg_dump reads this, after it shared our snapshot and locked the tables as well.
    with psycopg.connect(server.dsn()) as holder:
        holder.execute("LOCK TABLE pg_ts_template IN ACCESS EXCLUSIVE MODE")
        thread.start()
        try:
            yield context, failures
        finally:
            holder.rollback()
            thread.join(60)
            assert not thread.is_alive()
            context.close()


def test_a_dump_that_holds_a_migration_up_gives_way(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """After `dump.max_block` the dump's sessions end, the migration goes on at once, and the run says for whom it gave way."""
    server = plain_server(18)
    rows(server)
    here = install(tmp_path / "pitstop", server, {"dump": '{ max_block = "1s" }'})
    with held_up(server, here) as (context, failures):
        wait_for(lambda: context.phases()[-1].name == "dump postgres", what="the dump")
        execute(server, "SET lock_timeout = '30s'; ALTER TABLE t ADD COLUMN more int")
        wait_for(lambda: bool(failures), what="the end of the dump")
    [error] = failures
    assert isinstance(error, Conflict)
    assert error.reason_code == "dump-yielded"
    assert "public.t" in error.message
    assert left_behind(here) == []
    wait_for(lambda: execute(server, OURS) == [(0,)], what="the end of its sessions")


def test_a_dump_that_is_cancelled(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A dump asked to stop while pg_dump waits stops within a moment; its sessions end and nothing stays."""
    server = plain_server(15)
    rows(server)
    here = install(tmp_path / "pitstop", server)
    with held_up(server, here) as (context, failures):
        wait_for(lambda: context.phases()[-1].name == "dump postgres", what="the dump")
        context.cancel()
        wait_for(lambda: bool(failures), what="the end of the dump")
        wait_for(lambda: execute(server, OURS) == [(0,)], what="the end of its sessions")
    assert left_behind(here) == []


def test_a_pg_dump_that_loses_its_session(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Whatever stops pg_dump stops the dump: a session that an administrator ends makes no backup, and nothing stays."""
    server = plain_server(18)
    rows(server)
    here = install(tmp_path / "pitstop", server)
    with held_up(server, here) as (context, failures):
        wait_for(lambda: context.phases()[-1].name == "dump postgres", what="the dump")
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pitstop dump 2%'"
        wait_for(lambda: bool(execute(server, f"{ended} AND wait_event_type = 'Lock'")), what="pg_dump waiting")
        wait_for(lambda: bool(failures), what="the end of the dump")
    [error] = failures
    assert isinstance(error, Unavailable)
    assert error.reason_code == "server-gone"
    assert left_behind(here) == []


def test_a_page_that_cannot_be_read(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A damaged page ends the dump as damage, not as a backup with fewer rows, and nothing of it stays."""
    server = plain_server(16)
    rows(server, count=60_000)
    [(path,)] = execute(server, "SELECT pg_relation_filepath('t')")
    [(size,)] = execute(server, "SELECT pg_relation_size('t')")
    server.stop()
    with (server.data_directory / str(path)).open("r+b") as file:
        file.seek(int(str(size)) - 8192)
        file.write(b"\x01" * 8192)
    with PlainServer.start(
        server.binaries, server.data_directory, server.account, socket_dir=server.socket_dir, log=server.log
    ) as again:
        here = install(tmp_path / "pitstop", again)
        with pytest.raises(Corruption, match="invalid page"):
            here.run(Job.DUMP)
        assert left_behind(here) == []


FAKES = {
    "half": (
        "head -c 20000000 /dev/zero; echo 'pg_dump: error: it broke in the middle' >&2; exit 1",
        "it broke in the middle",
    ),
    "silent": ("exit 3", "it ended with exit code 3"),
    "killed": ("kill -9 $$", "it was ended by signal 9"),
    "calm": ("echo 'pg_dump: error: something is missing' >&2; exit 0", "something is missing"),
}


@pytest.mark.parametrize("kind", FAKES)
def test_a_program_that_fails(plain_server: PlainServerFactory, tmp_path: Path, kind: str) -> None:
    """A pg_dump that ends badly, dies, or complains and ends well all the same makes no backup, and its words are told."""
    server = plain_server(18)
    rows(server)
    folder = tmp_path / "bin"
    folder.mkdir()
    script, said = FAKES[kind]
    for name, does in {"pg_dump": script, "pg_dumpall": "echo '-- roles'"}.items():
        version = f"echo '{name} (PostgreSQL) 18.99'"
        (folder / name).write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then {version}; exit 0; fi\n{does}\n')
        (folder / name).chmod(0o755)
    here = install(tmp_path / "pitstop", server, top=f'[postgres]\nbin_directories = ["{folder}"]')
    with pytest.raises(Failed) as failed:
        here.run(Job.DUMP)
    assert failed.value.reason_code == "dump-failed"
    assert said in failed.value.message
    assert left_behind(here) == []
    wait_for(lambda: execute(server, OURS) == [(0,)], what="the end of its sessions")


def test_passwords_are_in_no_command_line(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """While pg_dump runs, no process shows the password of the DSN, and pg_dump logs in with it all the same."""
    server = plain_server(18)
    rows(server)
    execute(server, "CREATE ROLE dumper LOGIN SUPERUSER PASSWORD 'hunter2 is ''secret'''")
    hba = server.data_directory / "pg_hba.conf"
    hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    execute(server, "SELECT pg_reload_conf()")
    dsn = f"host={server.socket_dir} user=dumper password='hunter2 is \\\\'secret\\\\''"
    here = install(tmp_path / "pitstop", server, {"dump_dsn": f'"{dsn}"'})
    with held_up(server, here) as (context, failures):
        wait_for(lambda: context.phases()[-1].name == "dump postgres", what="the dump")
        wait_for(lambda: bool(programs(server)), what="pg_dump")
        assert not [line for line in commands() if b"hunter2" in line]
    assert not failures, failures


def commands() -> list[bytes]:
    """Return the command lines of all processes."""
    found = []
    for pid in pids():
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    return found


def programs(server: PlainServer) -> list[bytes]:
    """Return the command lines of the pg_dumps that read a server."""
    place = bytes(server.socket_dir)
    return [
        line for line in commands() if line.split(b"\0")[0].endswith((b"/pg_dump", b"/pg_dumpall")) and place in line
    ]


PHASES = {
    # phase       a lock that keeps the job in it             archives with whole volumes, and whether a half one is there
    "prepare": ("pg_extension", set(), False),
    "globals": ("pg_parameter_acl", set(), False),
    "lock postgres": ("t", {"globals"}, False),
    "dump postgres": ("pg_largeobject", {"globals"}, True),
}


@pytest.mark.parametrize(
    "phase", [phase if "postgres" in phase else pytest.param(phase, marks=pytest.mark.full) for phase in PHASES]
)
def test_killed_in_a_phase(plain_server: PlainServerFactory, tmp_path: Path, phase: str) -> None:
    """After kill -9 no backup is seen, no pg_dump and no session is left, and the next dump works and clears away."""
    server = plain_server(18)
    rows(server, count=60_000)
    execute(server, "SELECT lo_from_bytea(0, 'x')")
    here = install(tmp_path / "pitstop", server)
    lock, archives, half = PHASES[phase]
    with psycopg.connect(server.dsn()) as holder:
        holder.execute(f"LOCK TABLE {lock} IN ACCESS EXCLUSIVE MODE")
        run, process = here.spawn(Job.DUMP)
        wait_for(lambda: phase_of(here, run) == phase, what=f"the phase {phase}")
        wait_for(lambda: waiting(server), what="the wait")
        if half:
            wait_for(lambda: bool(list((here.home / "repository").glob("*/*/volumes/*/db-0/.*"))), what="a volume")
        here.kill(run, process)
        wait_for(lambda: not programs(server), what="the end of pg_dump")
        wait_for(lambda: execute(server, OURS) == [(0,)], what="the end of the dump's sessions")
    assert {path.parent.name for path in left_behind(here) if not path.name.startswith(".")} == archives
    check_after(here, run)


def test_killed_while_it_is_published(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """Killed from the summary on: the dump is there whole, or not at all; never half."""
    server = plain_server(18)
    rows(server)
    here = install(tmp_path / "pitstop", server)
    whole: set[BackupId] = set()
    for turn in range(3):
        run, process = here.spawn(Job.DUMP)
        before = summaries(here)
        wait_for(lambda before=before: summaries(here) != before, what="the summary")  # type: ignore[misc]
        time.sleep(turn * 0.002)
        killed(here, run, process)
        listed = {backup.id for backup in here.repository().backups()}
        assert whole <= listed, "what existed exists"
        whole = listed
        assert list(examine(here.repository())) == []
    assert here.run(Job.DUMP)["id"]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(9))
def test_killed_at_random_moments(plain_server: PlainServerFactory, tmp_path: Path, seed: int) -> None:
    """Kills at random moments, one after the other: every listed dump is whole, no pg_dump stays, and one more works."""
    server = plain_server([15, 16, 18][seed % 3])
    rows(server, count=100_000)
    here = install(tmp_path / "pitstop", server)
    rng = random.Random(seed)
    for _ in range(5):
        run, process = here.spawn(Job.DUMP)
        time.sleep(rng.uniform(0.3, 4))
        killed(here, run, process)
        wait_for(lambda: not programs(server), what="the end of pg_dump")
        wait_for(lambda: execute(server, OURS) == [(0,)], what="the end of the dump's sessions")
        if begun(here):
            assert list(examine(here.repository())) == []
    made = here.run(Job.DUMP)["id"]
    assert made in [backup.id for backup in here.repository().backups()]


def summaries(here: Installation) -> set[Path]:
    """Return the summaries in the repository: what is written just before a backup exists."""
    return set((here.home / "repository").glob("*/*/backups/*/summary"))


def waiting(server: PlainServer) -> bool:
    """Say whether somebody waits for a lock."""
    return bool(execute(server, "SELECT 1 FROM pg_locks WHERE NOT granted"))


def check_after(here: Installation, run: RunId) -> None:
    """Hold the state after a kill to what is promised for every phase, and take the next dump."""
    with here.ledger.read() as tx:
        assert runs.get(tx, run).state is RunState.INTERRUPTED
    if begun(here):
        assert here.repository().backups() == []
    made = BackupId(here.run(Job.DUMP)["id"])
    assert [backup.id for backup in here.repository().backups()] == [made]
    here.repository().delete_unfinished(LATER)
    assert {path.name for path in (here.home / "repository").glob("*/*/*/*-dump-*")} == {made}
    assert list(examine(here.repository())) == []


def test_a_store_that_goes_away(plain_server: PlainServerFactory, tmp_path: Path) -> None:
    """A repository that vanishes under a dump ends it; pg_dump and its sessions end, and what was there before stays whole."""
    server = plain_server(18)
    rows(server, count=60_000)
    here = install(tmp_path / "pitstop", server)
    made = here.run(Job.DUMP, part="schema-only")["id"]
    repository = here.home / "repository"
    with held_up(server, here) as (context, failures):
        wait_for(lambda: bool(programs(server)), what="pg_dump")
        repository.rename(here.home / "unmounted")
        repository.write_text("not mounted")
    assert [type(error) for error in failures] == [Unavailable]
    wait_for(lambda: execute(server, OURS) == [(0,)], what="the end of its sessions")
    repository.unlink()
    (here.home / "unmounted").rename(repository)
    assert [backup.id for backup in here.repository().backups()] == [made]
    assert list(examine(here.repository())) == []
    desk.fail_run(here.ledger, context.run.id, {"message": "it went away"}, utc_now())
    assert here.run(Job.DUMP)["id"]

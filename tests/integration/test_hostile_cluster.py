"""A copy of a cluster in which everything is planted that could reach back to production, and does not."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bot.host.accounts import Account
from bot.postgres.access import grant_access
from bot.postgres.isolated import IsolatedServer
from bot.postgres.isolated_settings import forced_settings
from bot.postgres.plain import PlainServer
from bot.postgres.recovery import recover
from tests.confined import Circumstances
from tests.restores import KEEP_WAL, at_end, listing, take_small_backup
from tests.servers import FAST, PlainServerFactory, execute

pytestmark = pytest.mark.pg


@dataclass
class Hostile:
    """A production server with everything planted, its publisher, and the places nobody else may touch."""

    production: PlainServer
    publisher: PlainServer
    home: Path
    binaries_major: int

    @property
    def archive(self) -> Path:
        """Where production archives its WAL."""
        return self.home / "archive"

    @property
    def traps(self) -> Path:
        """Where the planted commands leave a file when something runs them."""
        return self.home / "traps"

    def place(self, name: str) -> Path:
        """The folder of a tablespace of production."""
        return self.home / "tablespaces" / name

    def untouchable(self) -> Mapping[str, object]:
        """Everything that must be the same before and after."""
        return {
            "tablespaces": listing(self.home / "tablespaces"),
            "archive": sorted(listing(self.archive)),
            "traps": listing(self.traps),
            "logs": sorted(listing(self.home / "logs")),
            "pid file": (self.home / "external.pid").read_bytes(),
            "slot": execute(
                self.publisher, "SELECT slot_name, active, confirmed_flush_lsn, restart_lsn FROM pg_replication_slots"
            ),
        }


@pytest.fixture(params=[15, 18])
def hostile(
    request: pytest.FixtureRequest, plain_server: PlainServerFactory, server_home: Path, server_user: Account
) -> Hostile:
    """Build production and its publisher."""
    for name in (
        "archive",
        "traps",
        "logs",
        "tablespaces",
        "tablespaces/before",
        "tablespaces/after",
        "tablespaces/gone",
    ):
        folder = server_home / name
        folder.mkdir(mode=0o700)
        os.chown(folder, server_user.uid, server_user.gid)
    major = int(request.param)
    publisher = plain_server(major, settings={"wal_level": "logical"})
    execute(publisher, "CREATE TABLE orders (n int)")
    execute(publisher, "CREATE PUBLICATION pub FOR TABLE orders")
    production = plain_server(major, settings=_settings(server_home))
    return Hostile(production, publisher, server_home, major)


def _settings(home: Path) -> dict[str, str]:
    return KEEP_WAL | {
        "archive_mode": "on",
        "archive_command": f"cp %p {home}/archive/%f",
        "archive_cleanup_command": f"rm -f {home}/archive/*; touch {home}/traps/cleanup",
        "recovery_end_command": f"touch {home}/traps/end",
        "restore_command": f"touch {home}/traps/restore; false",
        "logging_collector": "on",
        "log_directory": f"{home}/logs",
        "external_pid_file": f"{home}/external.pid",
        "shared_preload_libraries": "pg_stat_statements",
        "max_connections": "117",
        "autovacuum": "off",
    }


def plant(hostile: Hostile) -> None:
    """Plant what is in the backup: tables, a subscription, event triggers, leftovers in the configuration."""
    production, before = hostile.production, hostile.place("before")
    execute(production, f"CREATE TABLESPACE before LOCATION '{before}'")
    execute(production, "CREATE TABLE old TABLESPACE before AS SELECT generate_series(1, 5000) n")
    execute(production, "CREATE TABLE orders (n int)")
    execute(hostile.publisher, "SELECT pg_create_logical_replication_slot('sub', 'pgoutput')")
    execute(
        production,
        f"CREATE SUBSCRIPTION sub CONNECTION '{hostile.publisher.dsn()}' PUBLICATION pub WITH (create_slot = false)",
    )
    execute(production, "CREATE FUNCTION trap() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN "
            "IF current_setting('cluster_name') LIKE 'pitstop%' THEN RAISE 'an event trigger fired'; END IF; END$$")  # fmt: skip
    execute(production, "CREATE ROLE app LOGIN SUPERUSER")
    execute(production, "CREATE EVENT TRIGGER trap ON ddl_command_end EXECUTE FUNCTION trap()")
    if hostile.binaries_major >= 17:
        execute(production, "CREATE EVENT TRIGGER login_trap ON login EXECUTE FUNCTION trap()")
        execute(production, "ALTER EVENT TRIGGER login_trap ENABLE ALWAYS")
    # Not reloaded: with these the live server would already hang. They are in the files a copy carries.
    leftovers = [
        "synchronous_standby_names = '*'", "recovery_target_name = 'long ago'",
        f"primary_conninfo = 'host={hostile.home} user=standby'", "primary_slot_name = 'standby'",
        "huge_pages = on", "shared_buffers = '900GB'", "log_destination = 'syslog'", "wal_level = minimal",
        "archive_library = 'no_such_library'", "session_preload_libraries = 'no_such_library'", "fsync = off",
    ]  # fmt: skip
    if hostile.binaries_major == 15:
        leftovers += ["ssl = on"]  # the wheel's 18 is built without
    if hostile.binaries_major >= 17:
        leftovers += ["sync_replication_slots = on", "event_triggers = on"]
    for setting in leftovers:
        execute(production, f"ALTER SYSTEM SET {setting}")
    extra = production.data_directory / "conf.d"
    extra.mkdir()
    (extra / "extra.conf").write_text(f"archive_command = 'touch {hostile.traps}/included'\n")
    with (production.data_directory / "postgresql.conf").open("a") as file:
        file.write("include_dir = 'conf.d'\n")
    (production.data_directory / "standby.signal").touch()


def after_backup(hostile: Hostile) -> None:
    """Do to production, after its backup, what replay will do again."""
    production = hostile.production
    (production.data_directory / "standby.signal").unlink()
    execute(production, f"CREATE TABLESPACE after LOCATION '{hostile.place('after')}'")
    execute(production, "CREATE TABLE young TABLESPACE after AS SELECT generate_series(1, 5000) n")
    execute(production, f"CREATE TABLESPACE gone LOCATION '{hostile.place('gone')}'")
    execute(production, "CREATE TABLE short TABLESPACE gone AS SELECT 1 n")
    execute(production, "DROP TABLE short")
    execute(production, "DROP TABLESPACE gone")
    execute(production, "CHECKPOINT")


def quiet(hostile: Hostile) -> None:
    """Let production's subscriber rest and its archiver catch up, so that whatever moves now is the copy's doing."""
    execute(hostile.production, "ALTER SUBSCRIPTION sub DISABLE")
    _until(lambda: execute(hostile.publisher, "SELECT active FROM pg_replication_slots") == [(False,)])
    execute(hostile.production, "SELECT pg_switch_wal()")
    last = "SELECT last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) FROM pg_stat_archiver"
    execute(hostile.production, "CHECKPOINT")
    time.sleep(0.5)
    _until(lambda: execute(hostile.production, last.replace("- 1", "- 16777217")) != [(None,)])


def test_nothing_of_production_is_touched(hostile: Hostile, server_user: Account, tmp_path: Path) -> None:
    """Replay, promotion, VACUUM FULL, DROP and commits in the copy leave folders, archive, slot and commits of production alone."""
    plant(hostile)
    backup = take_small_backup(hostile.production, tmp_path / "copy")
    after_backup(hostile)
    target = at_end(hostile.production)
    quiet(hostile)
    execute(hostile.publisher, "INSERT INTO orders VALUES (1), (2), (3)")
    untouched = hostile.untouchable()
    with backup.prepared(target, server_user) as (server, service):
        recover(server, target=target, wal=service)
        _misuse(server, hostile)
        assert hostile.untouchable() == untouched
        server.stop()
        assert _links_leading_out(server) == []
        server.start(ready=True)
        _still_harmless(server)
    assert hostile.untouchable() == untouched
    _production_is_well(hostile)


def _misuse(server: IsolatedServer, hostile: Hostile) -> None:
    """Use the copy as roughly as anyone may."""
    with psycopg.connect(grant_access(server, "oncall"), autocommit=True) as people:
        assert people.execute("SELECT count(*) FROM old").fetchone() == (5000,)
        assert people.execute("SELECT count(*) FROM young").fetchone() == (5000,)
        assert people.execute("SELECT count(*) FROM orders").fetchone() == (0,)
        began = time.monotonic()
        people.execute("CREATE ROLE scratch")
        assert time.monotonic() - began < 5, "a commit waited for a standby"
        if hostile.binaries_major >= 17:
            people.execute("CREATE TABLE made_here ()")
        people.execute("SET session_replication_role = replica")
        for table in ("old", "young"):
            people.execute(f"VACUUM FULL {table}")
            people.execute(f"DROP TABLE {table}")
        people.execute("DROP TABLESPACE after")
        # A private folder stands for this one, because replay made a tablespace there; the other does not exist in the room.
        people.execute(f"CREATE TABLESPACE reach LOCATION '{hostile.place('gone')}'")
        people.execute("CREATE TABLE reaching TABLESPACE reach AS SELECT 1 n")
        with pytest.raises(psycopg.Error, match="does not exist"):
            people.execute(f"CREATE TABLESPACE out LOCATION '{hostile.traps}'")
        with pytest.raises(psycopg.Error):
            people.execute(f"COPY (SELECT 1) TO '{hostile.traps}/copied'")
        _cannot_call_out(people)
        _lets_nobody_else_in(server)
        for name, value in _EXPECTED.items():
            assert people.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,), name
        workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%'"
        assert people.execute(workers).fetchone() == (0,)
        people.execute("SELECT pg_switch_wal()")
        people.execute("CHECKPOINT")


_EXPECTED = {
    "archive_mode": "off",
    "archive_command": "(disabled)",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "synchronous_standby_names": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "recovery_target_name": "",
    "shared_preload_libraries": "",
    "external_pid_file": "",
    "logging_collector": "off",
    "listen_addresses": "",
    "max_logical_replication_workers": "0",
    "max_connections": "117",
}


def _cannot_call_out(people: psycopg.Connection[tuple[object, ...]]) -> None:
    """Not even this machine's loopback can be reached: the copy has a network of its own, with nobody in it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        with pytest.raises(psycopg.Error):
            people.execute(f"COPY (SELECT 1) TO PROGRAM 'bash -c \"exec 3<>/dev/tcp/127.0.0.1/{port}\"'".encode())
        with pytest.raises(BlockingIOError):
            listener.accept()


def _lets_nobody_else_in(server: IsolatedServer) -> None:
    """Production's own roles and its pg_hba.conf, which trusts everybody, open nothing here; replication is off."""
    for more in ({"user": "app"}, {"user": "scratch"}, {"user": "app", "replication": "true"}):
        with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf|rejects"):
            psycopg.connect(make_conninfo(server.dsn(), **more)).close()


def _still_harmless(server: IsolatedServer) -> None:
    """An ordinary start later is as safe as the first one: every forced setting holds, every file it reads is the copy's own."""
    shown = {"archive_command": "(disabled)"}
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        for name, value in forced_settings(server.binaries.major).items():
            found = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert found == (shown.get(name, value),), name
        for name in ("config_file", "hba_file", "ident_file", "data_directory", "unix_socket_directories"):
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row is not None
            assert Path(row[0]).is_relative_to(server.folder.path) or Path(row[0]) == server.socket_dir, name


@pytest.mark.parametrize("major", [pytest.param(15, marks=pytest.mark.full), 18])
def test_limits_raised_after_the_backup(
    plain_server: PlainServerFactory, server_user: Account, tmp_path: Path, major: int
) -> None:
    """Replay meets greater max_* settings in the WAL than the backup recorded; the copy takes them over and goes on."""
    source = plain_server(major, settings=KEEP_WAL)
    backup = take_small_backup(source, tmp_path / "copy")
    for name, value in _RAISED.items():
        execute(source, f"ALTER SYSTEM SET {name} = {value}")
    source.stop()
    again = PlainServer.start(
        source.binaries, source.data_directory, source.account, socket_dir=source.socket_dir, log=source.log,
        settings={**FAST, **KEEP_WAL},
    )  # fmt: skip
    with again:
        execute(again, "CREATE TABLE t AS SELECT generate_series(1, 10) n")
        target = at_end(again)
        with backup.prepared(target, server_user) as (server, service):
            recover(server, target=target, wal=service)
            with psycopg.connect(server.dsn()) as connection:
                assert connection.execute("SELECT count(*) FROM t").fetchone() == (10,)
                for name, value in _RAISED.items():
                    row = connection.execute("SELECT current_setting(%s)::int", [name]).fetchone()
                    assert row is not None
                    assert int(row[0]) >= value, name


_RAISED = {
    "max_connections": 150,
    "max_worker_processes": 12,
    "max_wal_senders": 14,
    "max_prepared_transactions": 7,
    "max_locks_per_transaction": 99,
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user: sudo ./dev test")
def test_the_same_as_an_ordinary_user(short_tmp: Path) -> None:
    """Everything above holds for a user without rights, in user namespaces: this page's first test, run as `nobody`."""
    there = Circumstances(short_tmp, uid=65534)
    own = short_tmp / "own"
    own.mkdir()
    os.chown(own, there.uid, there.uid)
    page = f"{short_tmp}/pitstop/tests/integration/{Path(__file__).name}"  # where that user can read it
    done = there.run(
        f"{page}::test_nothing_of_production_is_touched[18]", "-q", "-p", "no:cacheprovider",
        f"--basetemp={own}/pytest", module="pytest", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", PYTEST_PLUGINS="pytest_timeout",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def _links_leading_out(server: IsolatedServer) -> list[str]:
    links = [link.readlink() for link in (server.folder.data / "pg_tblspc").iterdir() if link.is_symlink()]
    return [str(link) for link in links if not link.is_relative_to(server.folder.path)]


def _production_is_well(hostile: Hostile) -> None:
    production = hostile.production
    assert execute(production, "SELECT count(*) FROM old") == [(5000,)]
    assert execute(production, "SELECT count(*) FROM young") == [(5000,)]
    execute(production, "ALTER SUBSCRIPTION sub ENABLE")
    _until(lambda: execute(production, "SELECT count(*) FROM orders") == [(3,)])


def _until(true: object, timeout_s: float = 20) -> None:
    assert callable(true)
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)

"""The swap on real servers: atomic under load, whatever is killed, with everything that belongs to the database's name."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import pytest

from bot.errors import Conflict, PitstopError
from bot.host import processes
from bot.model.ids import ClusterName, RequestId
from bot.model.swaps import Note, Standing, Swap, read_note, standing
from bot.postgres.database_traits import give_traits, read_traits
from bot.postgres.maintenance import connect_beside, database_oids
from bot.postgres.plain import PlainServer
from bot.postgres.swap import swap_databases
from tests.servers import PlainServerFactory, execute

pytestmark = pytest.mark.pg
REQUEST = RequestId("r0123456789")


@dataclass
class Writers:
    """Sessions that write to `live` as fast as they can and come back when they are sent away; what each was told."""

    server: PlainServer
    seen: dict[str, int] = field(default_factory=dict)
    told: dict[str | None, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        """Write until asked to stop."""
        while not self.stop.is_set():
            try:
                with psycopg.connect(self.server.dsn("live"), autocommit=True) as session:
                    row = session.execute("SELECT name FROM which").fetchone()
                    assert row is not None
                    while not self.stop.is_set():
                        session.execute("INSERT INTO rows VALUES (1)")
                        with self.lock:
                            self.seen[row[0]] = self.seen.get(row[0], 0) + 1
            except psycopg.Error as error:
                with self.lock:
                    self.told[error.sqlstate] = self.told.get(error.sqlstate, 0) + 1
                time.sleep(0.01)


@contextmanager
def writing(server: PlainServer, sessions: int = 8) -> Iterator[Writers]:
    """Keep `sessions` writers busy while the block lasts."""
    writers = Writers(server)
    threads = [threading.Thread(target=writers.write) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        writers.stop.set()
        for thread in threads:
            thread.join(30)


def two_databases(server: PlainServer) -> Swap:
    """Make `live` and a copy that will take its name."""
    for name in ("live", "coming"):
        execute(server, f"CREATE DATABASE {name}")
        execute(server, f"CREATE TABLE which AS SELECT '{name}' AS name", dbname=name)
        execute(server, "CREATE TABLE rows (n int)", dbname=name)
    oids = _oids(server)
    return Swap(REQUEST, "live", oids["live"], "coming", oids["coming"], "live_before")


def note(swap: Swap) -> Note:
    """Return what is left on the kept database."""
    return Note(swap.request, ClusterName("slips"), "kept", swap.database, swap.oid, "2026-11-24T03:00:00+00:00")


def _oids(server: PlainServer) -> dict[str, int]:
    with connect_beside(server.dsn()) as connection:
        return database_oids(connection)


def _which(server: PlainServer) -> str:
    return str(execute(server, "SELECT name FROM which", dbname="live")[0][0])


@pytest.mark.parametrize("major", [15, pytest.param(16, marks=pytest.mark.full), 18])
def test_two_databases_change_names_under_a_running_write_load(plain_server: PlainServerFactory, major: int) -> None:
    """Every writer is sent away with 57P01 or told to come again, and goes on in the new database; the old one is closed."""
    server = plain_server(major, settings={"max_connections": "40"})
    swap = two_databases(server)
    with writing(server) as writers:
        _until(lambda: writers.seen.get("live", 0) > 200)
        ended = swap_databases(server.dsn(), swap, comment="ours", allowed=True, note=note(swap))
        _until(lambda: writers.seen.get("coming", 0) > 200)
    assert ended.sessions > 0
    assert set(writers.told) <= {"57P01", None}, (
        writers.told
    )  # None: turned away at the door, or libpq saw the socket close
    assert _which(server) == "coming"
    assert standing(_oids(server), swap) is Standing.AFTER
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(server.dsn("live_before"))
    said = execute(server, "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database")
    comments = {str(name): comment for name, comment in said}
    assert comments["live"] == "ours"
    assert read_note(str(comments["live_before"])) == note(swap)
    again = swap_databases(server.dsn(), swap, comment="ours", allowed=True, note=note(swap))
    assert again.sessions == 0


def test_a_transaction_under_way_may_finish(plain_server: PlainServerFactory) -> None:
    """A session that is in the middle of something when the door is held commits it; nobody new comes in meanwhile."""
    server = plain_server(18)
    swap = two_databases(server)
    with psycopg.connect(server.dsn("live")) as session:
        session.execute("INSERT INTO rows VALUES (1)")
        thread = threading.Thread(
            target=lambda: swap_databases(server.dsn(), swap, comment=None, allowed=True, note=note(swap))
        )
        thread.start()
        _until(lambda: bool(execute(server, _RENAMING)))
        session.execute("INSERT INTO rows VALUES (2)")
        session.commit()
        thread.join(30)
    assert _which(server) == "coming"
    execute(server, "ALTER DATABASE live_before ALLOW_CONNECTIONS true")
    assert execute(server, "SELECT count(*) FROM rows", dbname="live_before") == [(2,)]


def test_what_stands_in_the_way_changes_nothing(plain_server: PlainServerFactory) -> None:
    """A prepared transaction, a session that cannot be ended, a database replaced by hand: a clear sentence, all as before."""
    server = plain_server(18, settings={"max_prepared_transactions": "5"})
    swap = two_databases(server)
    before = _oids(server)
    with psycopg.connect(server.dsn("live"), autocommit=True) as session:
        session.execute("BEGIN; INSERT INTO rows VALUES (1); PREPARE TRANSACTION 'half done'")
    with pytest.raises(Conflict) as refused:
        swap_databases(server.dsn(), swap, comment=None, allowed=True, note=note(swap))
    assert refused.value.reason_code == "prepared-transactions"
    assert "half done" in refused.value.message
    execute(server, "ROLLBACK PREPARED 'half done'", dbname="live")

    execute(server, "CREATE ROLE small LOGIN CREATEDB")
    execute(server, "GRANT pg_signal_backend TO small")
    for name in ("live", "coming"):
        execute(server, f"ALTER DATABASE {name} OWNER TO small")
    with psycopg.connect(server.dsn("live")), pytest.raises(PitstopError) as stayed:
        swap_databases(server.dsn(user="small"), swap, comment=None, allowed=True, note=note(swap))
    assert stayed.value.reason_code == "sessions-stay"
    assert "postgres" in stayed.value.message

    assert _oids(server) == before
    execute(server, "DROP DATABASE coming")
    execute(server, "CREATE DATABASE coming")
    with pytest.raises(Conflict) as strange:
        swap_databases(server.dsn(), swap, comment=None, allowed=True, note=note(swap))
    assert strange.value.reason_code == "swap-strange"
    assert _which(server) == "live"


_SWAPPER = """
import sys
from bot.postgres.swap import swap_databases
from bot.model.swaps import Swap, Note
dsn, oid, coming = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
swap = Swap("r0123456789", "live", oid, "coming", coming, "live_before")
print("go", flush=True)
swap_databases(dsn, swap, comment=None, allowed=True, note=Note("r0123456789", "slips", "kept", "live", oid, "now"))
"""


@pytest.mark.parametrize("who", ["swapper", "server"])
def test_a_kill_at_any_moment_leaves_one_of_the_two_in_service(plain_server: PlainServerFactory, who: str) -> None:
    """Killed again and again at moments spread over the whole swap, the name always leads to a database that takes connections."""
    server = plain_server(18, settings={"max_connections": "40"})
    swap = two_databases(server)
    sides = set()
    for delay_s in (0.0, 0.03, 0.06, 0.1, 0.2, 0.6):
        with writing(server, 3):
            argv = [sys.executable, "-c", _SWAPPER, server.dsn(), str(swap.oid), str(swap.incoming_oid)]
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(delay_s)
                if who == "server":
                    processes.signal(server.identity, signal.SIGKILL)
                    processes.wait_gone(server.identity, 30)
            finally:
                process.kill()
                process.communicate()
        if who == "server":
            server = _started_again(server)
        _until_idle(server)
        where = standing(_oids(server), swap)
        assert _which(server) == {"before": "live", "after": "coming"}[where.value]
        sides.add(where)
        if where is Standing.AFTER:
            back = Swap(REQUEST, "live", swap.incoming_oid, "live_before", swap.oid, "coming")
            swap_databases(server.dsn(), back, comment=None, allowed=True, note=note(back))
            execute(server, "ALTER DATABASE coming ALLOW_CONNECTIONS true")
    if who == "server":
        server.stop("immediate")
    assert Standing.BEFORE in sides


def test_what_belongs_to_the_old_database_is_given_to_the_new_one(plain_server: PlainServerFactory) -> None:
    """Owner, grants with their grantors, settings of all and of roles, limit: the same afterwards, whatever the new one had."""
    server = plain_server(18)
    swap = two_databases(server)
    for statement in (
        'CREATE ROLE "Own ""er"; CREATE ROLE lender; CREATE ROLE user1; CREATE ROLE "ночь"',
        'ALTER DATABASE live OWNER TO "Own ""er"',
        "ALTER DATABASE live CONNECTION LIMIT 17",
        "REVOKE ALL ON DATABASE live FROM PUBLIC",
        "GRANT CONNECT, TEMPORARY ON DATABASE live TO lender WITH GRANT OPTION",
        "GRANT CREATE ON DATABASE live TO user1",
        'SET ROLE lender; GRANT CONNECT ON DATABASE live TO "ночь"; RESET ROLE',
        "ALTER DATABASE live SET search_path TO \"$user\", 'Mixed Case', public",
        "ALTER DATABASE live SET work_mem TO '65536kB'",
        "ALTER DATABASE live SET my.own TO 'it''s \\ \"so\", ok'",
        "ALTER DATABASE live SET default_transaction_read_only TO off",
        "ALTER ROLE user1 IN DATABASE live SET search_path TO ''",
        "ALTER ROLE \"ночь\" IN DATABASE live SET statement_timeout TO '5s'",
        "COMMENT ON DATABASE live IS 'the shop''s {\"allowed\"'",
        "GRANT ALL ON DATABASE coming TO user1 WITH GRANT OPTION",
        "ALTER DATABASE coming SET work_mem TO '1MB'",
        "ALTER ROLE lender IN DATABASE coming SET work_mem TO '2MB'",
    ):
        for part in statement.split("; ") if statement.startswith(("CREATE ROLE", "SET ROLE")) else [statement]:
            if part.startswith('GRANT CONNECT ON DATABASE live TO "ночь'):
                with psycopg.connect(server.dsn(), autocommit=True) as lender:
                    lender.execute("SET ROLE lender")
                    lender.execute(part.encode())
            elif "ROLE lender" not in part or part.startswith(("CREATE", "ALTER")):
                execute(server, part)
    with connect_beside(server.dsn(), "live", "coming") as connection:
        wanted = read_traits(connection, "live")
        assert wanted is not None
        assert give_traits(connection, wanted, "coming") == []
        given = read_traits(connection, "coming")
    assert given is not None
    assert (given.owner, given.limit, given.grants, given.settings) == (
        wanted.owner, wanted.limit, wanted.grants, wanted.settings,
    )  # fmt: skip
    assert len(wanted.settings) == 6
    assert ("lender", "ночь") in {(grant.grantor, grant.grantee) for grant in given.grants}
    swap_databases(server.dsn(), swap, comment=wanted.comment, allowed=True, note=note(swap))
    with connect_beside(server.dsn(), "live", "live_before") as connection:
        after = read_traits(connection, "live")
    assert after is not None
    assert after.comment == 'the shop\'s {"allowed"'
    assert wanted.differences(after) == []


_RENAMING = """
SELECT 1 FROM pg_stat_activity WHERE query LIKE '%RENAME TO%' AND state = 'active' AND pid <> pg_backend_pid()
"""


def _until_idle(server: PlainServer) -> None:
    _until(lambda: not execute(server, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pitstop swap'"))


def _started_again(server: PlainServer) -> PlainServer:
    _until(lambda: not processes.working_in(server.data_directory))  # its sessions notice by themselves
    return PlainServer.start(
        server.binaries, server.data_directory, server.account, socket_dir=server.socket_dir,
        settings={"fsync": "off", "max_connections": "40"}, log=server.log,
    )  # fmt: skip


def _until(holds: object, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    assert callable(holds)
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)

"""Recovery through the desk is exact: the transactions before the target are there and no other, judged by the order of commits.

One server, one receiver and two backups per major; the oracle of the order is logical decoding, which knows nothing of our plans.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import psycopg
import pytest

from bot.host.accounts import Account
from bot.model.backups import BackupSummary
from bot.model.requests import Request, State
from bot.model.runs import Job
from bot.model.targets import ResolvedTarget, Target, TargetKind
from bot.model.wal import Lsn
from bot.postgres.plain import PlainServer
from tests.integration.workload import (
    SETTINGS,
    Numbered,
    commit_order,
    numbers_before,
    numbers_in,
    prepare_log,
    write_numbers,
)
from tests.jobs import Installation, install, wait_for
from tests.recoveries import RIGHTS, approved, ask, execute, lasting_server, remove_server
from tests.restores import listing
from tests.servers import binaries_or_skip

pytestmark = pytest.mark.pg
MAJORS = (15, 16, 18)
POINT = "before 'x' % \"drop\""
NAMED = {
    "time": "up to a time, the transaction that committed at that microsecond included",
    "before:time": "up to a time, that transaction left out",
    "xid": "up to a transaction",
    "before:xid": "just before a transaction",
    "prepared": "up to a transaction that was prepared first",
    "subxid": "up to the transaction a subtransaction belonged to",
    "aborted": "up to where a transaction was rolled back",
    "point": "up to a restore point",
    "before:point": "just before a restore point",
    "lsn": "everything before an LSN",
    "lsn of a drop's commit": "the table is still there",
    "inside a backup": "a transaction that committed while the second backup was taken",
    "latest": "everything that was there when it was planned",
}


@dataclass
class World:
    """A server with its history, the installation that holds it, and what the oracle says of it."""

    server: PlainServer
    here: Installation
    home: Path
    marks: dict[str, Lsn] = field(default_factory=dict)
    xids: dict[str, int] = field(default_factory=dict)
    order: list[Numbered] = field(default_factory=list)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    numbers: Iterator[int] = field(default_factory=lambda: count(10_000))

    def one(self, number: int) -> Numbered:
        """Return the transaction that wrote `number`."""
        return next(t for t in self.order if number in t.numbers)

    def backup(self, number: int) -> BackupSummary:
        """Return a backup; ids of the same second sort by chance, positions do not."""
        return sorted(self.here.repository().backups(), key=lambda backup: backup.start_lsn)[number]

    def during(self, backup: int) -> Numbered:
        """Return a transaction that committed while a backup was taken."""
        summary = self.backup(backup)
        inside = [t for t in self.order if summary.start_lsn < t.lsn and t.end < summary.end_lsn]
        assert inside, "no transaction committed while the backup was taken"
        return inside[len(inside) // 2]

    def wanted(self, kind: str) -> tuple[Target, set[int]]:
        """Return a target of a kind, and the numbers that are there then."""
        timed, plain, prepared = self.one(110), self.one(42), self.one(57)
        inside = self.during(1) if kind == "inside a backup" else plain
        table: dict[str, tuple[Target, Lsn]] = {
            "time": (Target(TargetKind.TIME, at=timed.at), timed.end),
            "before:time": (Target(TargetKind.TIME, at=timed.at, before=True), timed.lsn),
            "xid": (Target(TargetKind.XID, xid=plain.xid), plain.end),
            "before:xid": (Target(TargetKind.XID, xid=plain.xid, before=True), plain.lsn),
            "prepared": (Target(TargetKind.XID, xid=prepared.xid), prepared.end),
            "subxid": (Target(TargetKind.XID, xid=self.xids["sub"]), self.one(1000).end),
            "aborted": (Target(TargetKind.XID, xid=self.xids["aborted"]), self.marks["aborted"]),
            "point": (Target(TargetKind.POINT, point=POINT), self.marks["point"]),
            "before:point": (Target(TargetKind.POINT, point=POINT, before=True), self.marks["point"]),
            "lsn": (Target(TargetKind.LSN, lsn=plain.lsn), plain.lsn),
            "lsn of a drop's commit": (Target(TargetKind.LSN, lsn=self.drop_commit()), self.marks["drop"]),
            "inside a backup": (Target(TargetKind.XID, xid=inside.xid, before=True), inside.lsn),
            "latest": (Target(TargetKind.LATEST), Lsn(1 << 62)),
        }
        target, before = table[kind]
        return target, numbers_before(self.order, before)

    def drop_commit(self) -> Lsn:
        """Return where the record starts with which the table went: the first end of a transaction left out before it."""
        planned = target_of(ask(self.here, Target(TargetKind.XID, xid=self.xids["drop"], before=True)))
        assert planned.next_end is not None
        assert planned.next_end.xid == self.xids["drop"]
        assert self.marks["drop"] <= planned.lsn == planned.next_end.lsn < self.marks["dropped"]
        return planned.lsn


@pytest.fixture(scope="module", params=MAJORS)
def world(
    request: pytest.FixtureRequest,
    server_user: Account,
    cluster_template: Callable[..., Path],
) -> Iterator[World]:
    """A server of each major with small segments, streamed into a repository while numbered transactions are written."""
    binaries = binaries_or_skip(request.param)
    settings = {**SETTINGS, "min_wal_size": "2MB"}
    with lasting_server(binaries, cluster_template, server_user, settings, "--wal-segsize=1") as (home, server):
        for name in ("early", "late"):
            (home / name).mkdir(mode=0o700)
            os.chown(home / name, server_user.uid, server_user.gid)
        extra = {**RIGHTS, "wal_durable_within": '"1s"'}
        here = install(home / "pitstop", server, extra, f'[restore]\ndirectory = "{home}/restores"')
        with here.receiving():
            made = World(server, here, home)
            _live(made)
            yield made


def _live(world: World) -> None:
    """Let everything happen that targets are asked about later."""
    server, here = world.server, world.here
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        prepare_log(server)
        write_numbers(server, [2])
        _tablespace(world, connection, "early")
        world.xids["before the backup"] = _xid(connection, "INSERT INTO log VALUES (-1, 0, 'early')")
        world.began_at = datetime.now(UTC)
        here.run(Job.BASE_BACKUP)
        write_numbers(server, range(10, 60))
        with _writing(world):
            here.run(Job.BASE_BACKUP)
        write_numbers(server, range(60, 100))
        world.marks["point"] = _lsn(connection, "SELECT pg_create_restore_point(%s)", POINT)
        write_numbers(server, range(100, 120), sessions=1)
        _special(world, connection)
        write_numbers(server, range(120, 140))
        _tablespace(world, connection, "late")
        write_numbers(server, range(140, 150))
        world.order = commit_order(server)
        _wait_until_stored(world, _lsn(connection, "SELECT pg_current_wal_flush_lsn()"))


def _tablespace(world: World, connection: psycopg.Connection, name: str) -> None:
    """Put a table into a tablespace of its own: one is in the backups, one is made by replay."""
    connection.execute(f"CREATE TABLESPACE {name} LOCATION '{world.home / name}'".encode())
    connection.execute(f"CREATE TABLE in_{name} TABLESPACE {name} AS SELECT generate_series(1, 100) AS n".encode())


def _special(world: World, connection: psycopg.Connection) -> None:
    """Write one transaction of each kind that is asked for by name; nothing else happens meanwhile."""
    connection.execute("CREATE TABLE doomed (i int)")
    connection.execute("BEGIN")
    connection.execute("SAVEPOINT a")
    row = connection.execute("INSERT INTO log VALUES (1000, 0, 'sub') RETURNING xmin::text::bigint").fetchone()
    connection.execute("COMMIT")
    assert row is not None
    world.xids["sub"] = row[0]
    connection.execute("BEGIN")
    world.xids["aborted"] = _xid(connection, "INSERT INTO log VALUES (1001, 0, 'aborted')")
    connection.execute("ROLLBACK")
    world.marks["aborted"] = _lsn(connection, "SELECT pg_current_wal_insert_lsn()")
    write_numbers(world.server, [1002])
    world.marks["drop"] = _lsn(connection, "SELECT pg_current_wal_insert_lsn()")
    world.xids["drop"] = _xid(connection, "DROP TABLE doomed")
    world.marks["dropped"] = _lsn(connection, "SELECT pg_current_wal_insert_lsn()")


def _xid(connection: psycopg.Connection, sql: str) -> int:
    """Execute a statement and return its transaction's xid."""
    with connection.transaction():
        row = connection.execute("SELECT pg_current_xact_id()::text::bigint & 4294967295").fetchone()
        connection.execute(sql.encode())
    assert row is not None
    return int(row[0])


def _lsn(connection: psycopg.Connection, sql: str, *arguments: str) -> Lsn:
    row = connection.execute(sql.encode(), arguments).fetchone()
    assert row is not None
    return Lsn.parse(row[0])


@contextmanager
def _writing(world: World) -> Iterator[None]:
    """Let numbers be written all the while."""
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.005):
            write_numbers(world.server, [next(world.numbers) * 10], sessions=1)

    thread = threading.Thread(target=write, name="writer")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _wait_until_stored(world: World, lsn: Lsn) -> None:
    """Wait until the repository itself, without the spool, has all WAL up to `lsn`."""
    archive = world.here.repository().wal
    wait_for(
        lambda: any(piece.covers(lsn) for piece in archive.ranges()),
        timeout_s=120,
        what=f"WAL up to {lsn} in the repository",
    )


def target_of(request: Request) -> ResolvedTarget:
    """Return what a request was planned to."""
    assert request.plan is not None, request.outcome
    return request.plan.steps.target


@contextmanager
def recovered(here: Installation, request: Request) -> Iterator[Request]:
    """Carry an approved request out; its server is removed afterwards."""
    done = execute(here, request.id)
    assert done.state is State.SUCCEEDED, done.outcome
    try:
        yield done
    finally:
        remove_server(here, request.id)
        assert not Path(str((done.outcome or {})["directory"])).exists()


@pytest.mark.parametrize("kind", NAMED)
def test_every_kind_of_target_is_planned_to_its_record(world: World, kind: str) -> None:
    """Through the real plan, a target of each kind stops so that exactly the oracle's transactions lie before it."""
    target, numbers = world.wanted(kind)
    request = ask(world.here, target)
    assert request.state is State.PROPOSED, request.outcome
    assert numbers_before(world.order, target_of(request).lsn) == numbers
    assert target_of(request).record_exists is (kind != "latest")


CHOSEN = {15: "inside a backup", 16: "prepared", 18: "lsn of a drop's commit"}
"""What the default suite recovers besides pieces and `latest`; the whole product runs under --full."""


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.full) for kind in NAMED if kind != "latest"],
)
def test_every_kind_of_target_is_recovered_exactly(world: World, kind: str) -> None:
    """Asked, planned, approved and carried out: exactly the transactions before the target are in the recovered server."""
    _recover_exactly(world, kind)


def test_a_chosen_target_is_recovered_exactly(world: World) -> None:
    """As above, for one kind on each major."""
    _recover_exactly(world, CHOSEN[world.server.binaries.major])


def _recover_exactly(world: World, kind: str) -> None:
    target, numbers = world.wanted(kind)
    with recovered(world.here, approved(world.here, target)) as done:
        outcome = done.outcome or {}
        assert numbers_in(outcome["dsn"]) == numbers
        assert _tables(outcome["dsn"]) >= ({"log", "doomed"} if kind == "lsn of a drop's commit" else {"log"})
        rows = {t["table"]: t["rows"] for t in outcome["tables"] if t["database"] == "postgres"}
        assert rows["log"] == len(numbers)
        assert rows["in_early"] == 100
        assert outcome["target"]["lsn"] == outcome["proof"]["reached_lsn"] or not numbers


def test_a_target_that_exists_only_in_pieces(world: World, tmp_path: Path) -> None:
    """With the spool gone and the target's segment in the repository only as partial pieces, recovery is as exact."""
    last = world.order[-1]
    without = replace(world.here, config=world.here.config.model_copy(update={"spool": tmp_path / "no-spool"}))
    archive = without.repository().wal
    segment = last.lsn // archive.segment_bytes
    assert archive.read_segment(1, segment) is None
    assert archive.read_pieces(1, segment) is not None
    with recovered(without, approved(without, Target(TargetKind.XID, xid=last.xid, before=True))) as done:
        assert numbers_in((done.outcome or {})["dsn"]) == numbers_before(world.order, last.lsn)


def test_traps_are_refused_with_what_can_be_had(world: World) -> None:
    """A time to come, a time or an xid before the backup, a position inside it, an xid of nobody: no plan, but what can be had."""
    backup = world.backup(0)
    refused = {
        "not-durable-yet": Target(TargetKind.TIME, at=datetime.now(UTC) + timedelta(days=1)),
        "before-first-backup": Target(TargetKind.TIME, at=world.began_at - timedelta(seconds=5)),
        "too-early": Target(TargetKind.XID, xid=world.xids["before the backup"]),
        "inside": Target(TargetKind.LSN, lsn=Lsn(backup.start_lsn + 8)),
        "unknown-xid": Target(TargetKind.XID, xid=4_000_000_000),
    }
    codes = {}
    for name, target in refused.items():
        request = ask(world.here, target)
        assert request.state is State.REFUSED, name
        assert request.outcome is not None
        codes[name] = request.outcome["code"]
        assert request.outcome["hint"] or request.outcome.get("nearest")
    assert codes == {
        "not-durable-yet": "future",
        "before-first-backup": "before-first-backup",
        "too-early": "before-first-backup",
        "inside": "before-first-backup",
        "unknown-xid": "unknown-xid",
    }


def test_latest_does_not_replay_what_arrives_after_the_plan(world: World) -> None:
    """While WAL goes on arriving, `latest` means what was there when it was planned: all of that, and nothing later.

    On the way replay makes a tablespace at a folder of production, which stays as it is.
    """
    production = listing(world.home / "late")
    assert production
    with _writing(world):
        request = approved(world.here, Target(TargetKind.LATEST))
        planned = target_of(request)
        _wait_until_stored(world, Lsn(planned.lsn + 2048))
        with recovered(world.here, request) as done:
            found = numbers_in((done.outcome or {})["dsn"])
            with psycopg.connect((done.outcome or {})["dsn"], autocommit=True) as connection:
                connection.execute("VACUUM FULL in_late")
                assert connection.execute("SELECT count(*) FROM in_late").fetchone() == (100,)
                connection.execute("DROP TABLE in_late")
    assert listing(world.home / "late") == production
    order = commit_order(world.server)
    assert found == numbers_before(order, planned.lsn)
    assert found < numbers_before(order, Lsn(1 << 62))
    assert not planned.record_exists


def _tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        return {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

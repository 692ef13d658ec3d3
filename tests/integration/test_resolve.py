"""Resolving targets against the WAL of real servers, judged by logical decoding's order of commits."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bot.errors import Unreachable, Usage
from bot.host.accounts import Account
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.targets import Target, TargetKind
from bot.model.timelines import lineage
from bot.model.wal import Lsn, WalRange, segment_name, segment_number, segment_start
from bot.postgres.binaries import Binaries
from bot.postgres.plain import PlainServer
from bot.postgres.resolve import Resolution, resolve
from bot.postgres.wal_reader import WalReader
from bot.postgres.wal_records import TransactionEnd
from tests.integration.workload import SETTINGS, Numbered, commit_order, numbers_before, prepare_log, write_numbers
from tests.places import for_servers
from tests.servers import FAST, binaries_or_skip

pytestmark = pytest.mark.pg
SEGMENT = 1024 * 1024
EVIL = "before 'x'\r\n\t\"drop\" 100% rmgr: Transaction"
FORGED = (
    "x\nrmgr: Transaction len (rec/tot):     34/    34, tx:    4000000001, lsn: 0/0{place:07X}, prev 0/01500630, "
    "desc: COMMIT 2031-01-01 00:00:00.000000 UTC"
)


@dataclass(frozen=True)
class FolderSource:
    """WAL straight from a stopped server's pg_wal, known up to `end`."""

    folder: Path
    start: Lsn
    end: Lsn
    segment_bytes: int = SEGMENT
    missing: frozenset[int] = frozenset()

    def prefix(self, timeline: int, number: int) -> bytes | None:
        """Return the segment as far as it is known."""
        path = self.folder / segment_name(timeline, number, self.segment_bytes)
        known = self.end - segment_start(number, self.segment_bytes)
        return path.read_bytes()[:known] if path.exists() and known > 0 and number not in self.missing else None

    def ranges(self) -> list[WalRange]:
        """Return what is known, cut where segments are missing."""
        cuts = sorted(segment_start(n, self.segment_bytes) for n in self.missing)
        starts = [self.start, *(Lsn(c + self.segment_bytes) for c in cuts)]
        return [WalRange(1, s, e) for s, e in zip(starts, [*cuts, self.end], strict=True)]


@dataclass(frozen=True)
class History:
    """What happened on one server: the oracle's order of commits, two backups, and the WAL."""

    binaries: Binaries
    source: FolderSource
    order: list[Numbered]
    first: BackupSummary
    second: BackupSummary
    drop_database: tuple[int, Lsn]
    ended_at: datetime
    scratch: Path

    def reader(self, source: FolderSource | None = None) -> WalReader:
        """Return a fresh reader that holds two segments at a time, so that every seam is crossed."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        return WalReader(self.binaries, source or self.source, lineage(1, {}), folder, scratch_bytes=2 * SEGMENT)

    def ends(self) -> list[TransactionEnd]:
        """Return all ends of transactions after the first backup."""
        events = self.reader().events(self.first.end_lsn, self.source.end)
        return [event for event in events if isinstance(event, TransactionEnd)]

    def resolve(
        self, target: Target, *, source: FolderSource | None = None, backups: Sequence[BackupSummary] = ()
    ) -> Resolution:
        """Resolve as planning does, shortly after the last commit."""
        return resolve(
            target,
            candidates=backups or (self.first, self.second),
            wal=self.reader(source),
            now=self.ended_at + timedelta(minutes=1),
            complete_until=self.ended_at,
        )


@pytest.fixture(scope="module", params=[15, 16, 18])
def history(
    request: pytest.FixtureRequest,
    server_user: Account,
    cluster_template: Callable[[Binaries, Sequence[str]], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[History]:
    """A server of each major with 1 MB segments, 300 numbered transactions, two backups, restore points and a dropped database."""
    binaries = binaries_or_skip(request.param)
    with tempfile.TemporaryDirectory(prefix="ps-", dir=for_servers()) as place:
        home = Path(place)
        home.chmod(0o755)
        subprocess.run(["cp", "-a", cluster_template(binaries, ["--wal-segsize=1"]), home / "data"], check=True)
        (home / "socket").mkdir()
        (home / "socket").chmod(0o777)
        settings = {**FAST, **SETTINGS, "min_wal_size": "2MB"}
        with PlainServer.start(
            binaries, home / "data", server_user, socket_dir=home / "socket", settings=settings, log=home / "log"
        ) as server:
            made = _make_history(server)
        yield History(
            binaries,
            FolderSource(home / "data" / "pg_wal", Lsn((made.first.start_lsn // SEGMENT - 1) * SEGMENT), made.end),
            made.order, made.first, made.second, made.drop_database, made.ended_at,
            tmp_path_factory.mktemp("scratch"),
        )  # fmt: skip


@dataclass(frozen=True)
class _Made:
    order: list[Numbered]
    first: BackupSummary
    second: BackupSummary
    drop_database: tuple[int, Lsn]
    ended_at: datetime
    end: Lsn


def _make_history(server: PlainServer) -> _Made:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        prepare_log(server)
        connection.execute("SELECT pg_create_restore_point('too early')")
        first = _backup(connection, "first")
        write_numbers(server, range(100))
        connection.execute("SELECT pg_create_restore_point('twice')")
        _forge(connection)
        write_numbers(server, range(100, 200))
        second = _backup(connection, "second")
        write_numbers(server, range(200, 250))
        connection.execute("SELECT pg_create_restore_point('twice')")
        connection.execute("SELECT pg_create_restore_point(%s)", [EVIL])
        connection.execute("CREATE TABLE big AS SELECT repeat('x', 100) FROM generate_series(1, 40000)")
        connection.execute("SELECT pg_switch_wal()")
        write_numbers(server, range(250, 300))
        drop = _drop_database(connection)
        write_numbers(server, [300])
        ended_at = datetime.now(UTC)
        end = Lsn.parse(connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()[0])  # type: ignore[index]
        return _Made(commit_order(server), first, second, drop, ended_at, end)


def _forge(connection: psycopg.Connection) -> None:
    """Prepare a transaction whose name looks like a commit of 2031 a little further on."""
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    gid = FORGED.format(place=int(row[0]) + 512)
    connection.execute("BEGIN")
    connection.execute("CREATE TEMPORARY TABLE unused (i int) ON COMMIT DROP")
    connection.execute("ROLLBACK")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO log VALUES (1000, pg_current_xact_id()::text::bigint, 'forged')")
    connection.execute(f"PREPARE TRANSACTION '{gid}'")
    connection.execute(f"ROLLBACK PREPARED '{gid}'")


def _drop_database(connection: psycopg.Connection) -> tuple[int, Lsn]:
    """Drop a database; return the xid and where it began."""
    connection.execute("CREATE DATABASE victim")
    connection.execute("CHECKPOINT")
    row = connection.execute(
        "SELECT pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot())::text"
    ).fetchone()
    assert row is not None
    connection.execute("DROP DATABASE victim")
    return int(row[1]), Lsn.parse(row[0])


def _backup(connection: psycopg.Connection, label: str) -> BackupSummary:
    started = datetime.now(UTC)
    start = connection.execute("SELECT pg_backup_start(%s, true)", [label]).fetchone()
    stop = connection.execute("SELECT lsn FROM pg_backup_stop(false)").fetchone()
    assert start is not None
    assert stop is not None
    return BackupSummary(
        BackupId(label), "base", ClusterName("c"), SystemId("1"), started, datetime.now(UTC), 1, Lsn.parse(start[0]),
        Lsn.parse(stop[0]), 0, 0, connection.info.server_version, SEGMENT, "",
    )  # fmt: skip


def _xid(xid: int, *, before: bool = False) -> Target:
    return Target(TargetKind.XID, before=before, xid=xid)


def _time(at: datetime, *, before: bool = False) -> Target:
    return Target(TargetKind.TIME, before=before, at=at)


def _point(name: str, *, before: bool = False) -> Target:
    return Target(TargetKind.POINT, before=before, point=name)


def _lsn(lsn: int) -> Target:
    return Target(TargetKind.LSN, lsn=Lsn(lsn))


def test_every_transaction_by_xid(history: History) -> None:
    """A transaction is included by its xid and left out by before:, whatever kind it is; the backup is the newest before it."""
    for index in (0, 1, 50, len(history.order) // 2, len(history.order) - 2):
        wanted = history.order[index]
        at, upto = history.resolve(_xid(wanted.xid, before=True)), history.resolve(_xid(wanted.xid))
        assert at.target.lsn == wanted.lsn
        assert at.target.next_end is not None
        assert at.target.next_end.xid == wanted.xid
        assert numbers_before(history.order, upto.target.lsn) == numbers_before(history.order, wanted.end)
        assert upto.target.last_commit is not None
        assert upto.target.last_commit.lsn == wanted.lsn
        assert upto.target.last_commit.at == wanted.at
        assert at.backup.id == ("second" if wanted.lsn >= history.second.end_lsn else "first")


def test_times_stop_in_wal_order(history: History) -> None:
    """A time includes what committed at it and before; before: leaves what committed at it out."""
    for index in (3, 80, 160, len(history.order) - 2):
        wanted = history.order[index]
        later = next(t for t in history.order if t.at > wanted.at)
        earlier = next(t for t in history.order if t.at >= wanted.at)
        upto, at = history.resolve(_time(wanted.at)), history.resolve(_time(wanted.at, before=True))
        assert numbers_before(history.order, upto.target.lsn) == numbers_before(history.order, later.lsn)
        assert numbers_before(history.order, at.target.lsn) == numbers_before(history.order, earlier.lsn)


def test_latest_is_the_end_of_what_is_durable(history: History) -> None:
    """`latest` ends after the last whole record, also when the durable WAL ends within one, and no record starts there."""
    last = history.order[-1]
    whole = history.resolve(Target(TargetKind.LATEST))
    assert not whole.target.record_exists
    assert numbers_before(history.order, whole.target.lsn) == numbers_before(history.order, Lsn(1 << 62))
    cut = replace(history.source, end=Lsn(last.end - 8))
    torn = history.resolve(Target(TargetKind.LATEST), source=cut)
    assert numbers_before(history.order, torn.target.lsn) == numbers_before(history.order, last.lsn)
    assert torn.target.lsn <= last.lsn
    assert not torn.target.record_exists


def test_an_lsn_inside_a_record_means_the_next_one(history: History) -> None:
    """Everything before an LSN is replayed; one inside a record moves to the start of the next."""
    wanted = history.order[120]
    exact, inside = history.resolve(_lsn(wanted.lsn)), history.resolve(_lsn(wanted.lsn + 3))
    assert exact.target.lsn == wanted.lsn
    assert inside.target.lsn >= wanted.end
    assert numbers_before(history.order, inside.target.lsn) == numbers_before(history.order, wanted.end)


def test_restore_points(history: History) -> None:
    """Of two points of one name the last counts, said aloud; a name may contain anything, also what looks like a record."""
    twice = history.resolve(_point("twice"))
    assert "2 restore points" not in " ".join(twice.notes), "the older one is in an older zone"
    assert numbers_before(history.order, twice.target.lsn) == {
        n for n in numbers_before(history.order, Lsn(1 << 62)) if n < 250
    }
    only_first = history.resolve(_point("twice"), backups=(history.first,))
    assert "2 restore points" in only_first.notes[0]
    evil = history.resolve(_point(EVIL))
    assert evil.target.lsn > twice.target.lsn


def test_what_cannot_be_named(history: History) -> None:
    """Unknown xids and points are refused; one finished before the backup is, with the first reachable time."""
    with pytest.raises(Usage, match="No transaction 4000000000") as unknown:
        history.resolve(_xid(4_000_000_000))
    assert unknown.value.reason_code == "unknown-xid"
    with pytest.raises(Usage, match="twice") as near:
        history.resolve(_point("twise"))
    assert near.value.reason_code == "unknown-point"
    with pytest.raises(Unreachable) as early:
        history.resolve(_point("too early"))
    assert early.value.reason_code == "before-first-backup"
    with pytest.raises(Unreachable) as finished:
        history.resolve(_xid(history.order[10].xid), backups=(history.second,))
    assert finished.value.reason_code == "before-first-backup"
    assert finished.value.nearest[0] >= history.second.finished_at


def test_forged_records_are_not_believed(history: History) -> None:
    """A prepared transaction's name that looks like a commit record changes nothing."""
    ends = [e.commit for e in history.ends()]
    assert max(end.at.year for end in ends) < 2031
    with pytest.raises(Usage):
        history.resolve(_xid(4_000_000_001))


def test_subtransactions_and_aborts_are_explained(history: History) -> None:
    """A subtransaction stands for its top one, and a rolled-back transaction stops at its abort; both say so."""
    ends = history.ends()
    aborted = next(e for e in ends if e.commit.aborted and not e.prepared)
    parent = next(e for e in ends if e.subxacts and not e.commit.aborted)
    stop = history.resolve(_xid(aborted.commit.xid))
    assert "rolled back" in stop.notes[0]
    assert stop.target.lsn >= aborted.commit.end
    sub = history.resolve(_xid(parent.subxacts[0]))
    assert f"subtransaction of {parent.commit.xid}" in sub.notes[0]
    assert sub.target == history.resolve(_xid(parent.commit.xid)).target


def test_before_drop_database(history: History) -> None:
    """Before a DROP DATABASE means before the mark that makes the database invalid, ahead of the transaction's own records."""
    xid, began = history.drop_database
    found = history.resolve(_xid(xid, before=True))
    assert "dropped a database" in found.notes[0]
    assert began <= found.target.lsn < history.resolve(_xid(xid)).target.last_commit.lsn  # type: ignore[union-attr]
    marks = list(history.reader().records(found.target.lsn, history.source.end, rmgrs=("Heap",)))
    assert marks[0].desc.startswith("INPLACE")
    assert marks[0].lsn == found.target.lsn


def test_times_outside(history: History) -> None:
    """A time in the future, before the first backup, or past what is known to be durable is refused with the nearest times."""
    with pytest.raises(Unreachable) as future:
        history.resolve(_time(history.ended_at + timedelta(hours=1)))
    assert future.value.reason_code == "future"
    with pytest.raises(Unreachable) as early:
        history.resolve(_time(history.first.started_at - timedelta(seconds=1)))
    assert early.value.reason_code == "before-first-backup"
    assert early.value.nearest
    assert history.resolve(_time(early.value.nearest[0])).target.lsn >= history.first.end_lsn
    with pytest.raises(Unreachable) as late:
        history.resolve(_time(history.ended_at + timedelta(seconds=30)))
    assert late.value.reason_code == "not-durable-yet"
    everything = history.resolve(_time(history.ended_at))
    assert not everything.target.record_exists
    assert everything.target.lsn == history.resolve(Target(TargetKind.LATEST)).target.lsn


def test_inside_a_backup(history: History) -> None:
    """A target inside a backup's own window starts from the backup before it, or is refused when there is none."""
    inside = Lsn(history.second.start_lsn + 8)
    assert history.resolve(_lsn(inside)).backup.id == "first"
    with pytest.raises(Unreachable) as refused:
        history.resolve(_lsn(history.first.start_lsn + 8))
    assert refused.value.reason_code == "before-first-backup"


def test_holes(history: History) -> None:
    """Where WAL is missing, times and LSNs are refused with what is reachable on both sides; before and after, all goes on."""
    middle = history.order[100]
    lost = segment_number(history.second.start_lsn, SEGMENT) - 1
    source = replace(history.source, missing=frozenset({lost}))
    with pytest.raises(Unreachable) as hole:
        history.resolve(_time(history.second.started_at - timedelta(milliseconds=1)), source=source)
    assert hole.value.reason_code == "in-a-hole"
    assert len(hole.value.nearest) == 2
    assert hole.value.nearest[0] < history.second.started_at <= hole.value.nearest[1]
    for offered, backup in zip(hole.value.nearest, ("first", "second"), strict=True):
        assert history.resolve(_time(offered), source=source).backup.id == backup
    with pytest.raises(Unreachable):
        history.resolve(_time(hole.value.nearest[0] + timedelta(microseconds=1)), source=source)
    assert history.resolve(_xid(history.order[-2].xid), source=source).backup.id == "second"
    if middle.end < segment_start(lost, SEGMENT):
        assert history.resolve(_xid(middle.xid), source=source).backup.id == "first"
    with pytest.raises(Unreachable) as newest:
        history.resolve(Target(TargetKind.LATEST), source=source, backups=(history.first,))
    assert newest.value.reason_code == "in-a-hole"


@pytest.mark.parametrize("past", [0, 8, 40, 48, 64])
def test_reading_ends_just_past_a_page_header(history: History, past: int) -> None:
    """WAL read up to the very beginning of a segment after a switch is not taken for damaged, and no record is lost or invented."""
    reader, start = history.reader(), history.first.end_lsn
    end = Lsn(segment_start(segment_number(history.second.start_lsn, SEGMENT), SEGMENT) + past)
    whole = [
        r.lsn for r in reader.records(start, history.source.end) if reader.pages.record_end(r.lsn, r.total_bytes) <= end
    ]
    assert whole
    assert [record.lsn for record in reader.records(start, end)] == whole

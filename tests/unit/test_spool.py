"""The spool: durable at every step, nothing overwritten, another cluster's WAL kept aside."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import Corruption, Failed, Unavailable
from bot.host.spool import Spool, SpoolIdentity, is_segment, is_side_file, is_wal_name
from bot.model.wal import Lsn, segment_name
from jobs.wal.spool import SegmentWriter, content, histories, put_history

SIZE = 1 << 20
OURS = SpoolIdentity("7300000000000000001", SIZE)
FIRST = segment_name(1, 1, SIZE)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool of one cluster."""
    spool = Spool(tmp_path / "slips")
    spool.directory.mkdir()
    spool.claim(OURS)
    return spool


def wal(number: int) -> bytes:
    """Return some bytes as a segment."""
    return bytes([number]) * SIZE


def write(writer: SegmentWriter, data: bytes, step: int) -> None:
    """Write in parts of `step` bytes."""
    for at in range(0, len(data), step):
        writer.write(writer.position, memoryview(data[at : at + step]))


@given(sizes=st.lists(st.integers(1, SIZE * 2), min_size=1, max_size=5), step=st.integers(10_000, SIZE * 2))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_what_is_written_is_there(tmp_path: Path, sizes: list[int], step: int) -> None:
    """However WAL arrives, whole segments are exactly its bytes, and the last is as long as what arrived."""
    spool = Spool(tmp_path / os.urandom(8).hex())
    spool.directory.mkdir()
    spool.create()
    data = b"".join(bytes([n + 1]) * size for n, size in enumerate(sizes))
    writer = SegmentWriter(spool, SIZE, 1, Lsn(SIZE))
    write(writer, data, step)
    assert writer.flush() == SIZE + len(data)
    writer.close()
    held = content(spool, SIZE)
    whole = len(data) // SIZE
    assert held.segments.get(1, set()) == set(range(1, 1 + whole))
    assert held.partials == ({(1, 1 + whole): len(data) % SIZE} if len(data) % SIZE else {})
    got = b"".join(spool.read(segment_name(1, 1 + n, SIZE)) or b"" for n in range(whole))
    assert got + (spool.read_partial(segment_name(1, 1 + whole, SIZE)) or b"") == data


def test_a_restart_never_shortens_what_is_there(spool: Spool) -> None:
    """After a crash the segment is written again from its start, in place: what was there already is never cut off."""
    first = SegmentWriter(spool, SIZE, 1, Lsn(SIZE))
    write(first, wal(1)[:500_000], 100_000)
    first.close()
    second = SegmentWriter(spool, SIZE, 1, Lsn(SIZE))
    write(second, wal(1)[:1000], 1000)
    second.flush()
    assert spool.read_partial(FIRST) == wal(1)[:500_000]
    write(second, wal(1)[1000:], 50_000)
    assert spool.read(FIRST) == wal(1)
    assert spool.partials() == {}


def test_wal_out_of_order_is_refused(spool: Spool) -> None:
    """Bytes that do not follow the last ones, and a start within a segment, are refused."""
    writer = SegmentWriter(spool, SIZE, 1, Lsn(SIZE))
    write(writer, b"x" * 100, 100)
    for start in (SIZE, SIZE + 101):
        with pytest.raises(Failed) as caught:
            writer.write(Lsn(start), memoryview(b"y"))
        assert caught.value.reason_code == "replication-protocol"
    with pytest.raises(ValueError, match="first byte"):
        SegmentWriter(spool, SIZE, 1, Lsn(SIZE + 8))
    writer.close()


def test_a_pushed_segment_and_a_received_one(spool: Spool) -> None:
    """The same bytes are kept once; different ones are corruption, and both stay for inspection."""
    spool.put(FIRST, wal(1))
    writer = SegmentWriter(spool, SIZE, 1, Lsn(SIZE))
    write(writer, wal(1), 100_000)
    assert (spool.names(), spool.partials()) == ([FIRST], {})
    second = segment_name(1, 2, SIZE)
    spool.put(second, wal(9))
    with pytest.raises(Corruption) as caught:
        write(writer, wal(2), 100_000)
    assert caught.value.reason_code == "wal-differs"
    assert spool.read(second) == wal(9)
    assert spool.read_partial(second) == wal(2)
    writer.close()


def test_a_crash_between_naming_and_removing(spool: Spool) -> None:
    """A segment that has both names after a crash is whole, and completing it again changes nothing."""
    spool.partial_path(FIRST).write_bytes(wal(1))
    os.link(spool.partial_path(FIRST), spool.wal / FIRST)
    assert spool.names() == [FIRST]
    spool.complete(FIRST)
    assert (spool.read(FIRST), spool.partials()) == (wal(1), {})


def test_everything_is_private(spool: Spool) -> None:
    """WAL is readable by nobody else."""
    spool.put(FIRST, wal(1))
    spool.put_side(f"{FIRST}.partial", b"x")
    writer = SegmentWriter(spool, SIZE, 1, Lsn(SIZE * 2))
    write(writer, b"x", 1)
    writer.close()
    for path in (*spool.wal.iterdir(), *spool.side.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (spool.wal, spool.side)} == {0o700}


def test_another_cluster_finds_its_own_place(spool: Spool) -> None:
    """When the cluster changes, its WAL is moved aside, never deleted, also when it comes and goes twice."""
    spool.put(FIRST, wal(1))
    other = SpoolIdentity("42", SIZE)
    aside = spool.claim(other)
    assert aside == spool.directory / f"wal.{OURS.system_id}"
    assert (aside / FIRST).read_bytes() == wal(1)
    assert (spool.names(), spool.identity()) == ([], other)
    spool.put(FIRST, wal(2))
    assert spool.claim(OURS) == spool.directory / "wal.42"
    spool.put(FIRST, wal(3))
    assert spool.claim(other) == spool.directory / f"wal.{OURS.system_id}.2"
    assert spool.claim(other) is None
    kept = sorted(path.read_bytes()[0] for path in spool.directory.glob(f"wal.*/{FIRST}"))
    assert kept == [1, 2, 3]


def test_history_files(spool: Spool) -> None:
    """A history file is kept once; another of that timeline is refused."""
    put_history(spool, 2, b"1\t0/100000\tx\n")
    put_history(spool, 2, b"1\t0/100000\tx\n")
    assert histories(spool) == {2: b"1\t0/100000\tx\n"}
    with pytest.raises(Corruption):
        put_history(spool, 2, b"1\t0/200000\tx\n")


def test_what_is_not_wal_is_not_seen(spool: Spool) -> None:
    """Other files, hidden ones and segments of another size are passed over."""
    for name in ("notes.txt", ".hidden", f".{FIRST}.abc", f"{FIRST}.tmp", "0000000100000000000000FF0"):
        (spool.wal / name).write_bytes(b"x")
    assert (spool.names(), spool.partials()) == ([], {})
    (spool.wal / segment_name(1, 0xFFF, SIZE)).write_bytes(b"x")
    assert content(spool, 16 << 20).segments == {}


def test_a_full_disk_is_unavailable(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that cannot be written is told as that; the slot holds the WAL meanwhile."""
    writer = SegmentWriter(spool, SIZE, 1, Lsn(SIZE))
    spool.wal.rename(spool.directory / "gone")
    with pytest.raises(Unavailable) as caught:
        writer.write(Lsn(SIZE), memoryview(b"x"))
    assert caught.value.reason_code == "spool-disk"


def test_a_boot_is_remembered(spool: Spool) -> None:
    """The end of a partial file is trusted only on the boot it was written on."""
    assert not spool.same_boot()
    assert spool.same_boot()
    (spool.directory / "boot").write_bytes(b"another\n")
    assert not spool.same_boot()


@pytest.mark.parametrize(
    ("name", "segment", "side"),
    [
        ("0000000100000000000000A1", True, False),
        ("00000002.history", False, False),
        ("0000000100000000000000A1.00000028.backup", False, True),
        ("0000000100000000000000A1.partial", False, True),
    ],
)
def test_names_of_wal(name: str, segment: bool, side: bool) -> None:
    """The four kinds of names that PostgreSQL archives are told apart."""
    assert is_wal_name(name)
    assert (is_segment(name), is_side_file(name)) == (segment, side)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../x",
        "0000000100000000000000a1",
        "0000000100000000000000A1\n",
        "00000002.history.tmp",
        "backup_label",
    ],
)
def test_other_names(name: str) -> None:
    """Nothing else is WAL, above all nothing that leads elsewhere."""
    assert not is_wal_name(name)

"""Which WAL a recovery is served: one line of descent, cut at `latest`, and never silence where a segment is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import Corruption
from bot.model.targets import ResolvedTarget
from bot.model.timelines import lineage
from bot.model.wal import Lsn, parse_history, segment_name
from bot.repository.cluster import ClusterRepository
from jobs.pitr.stock import Stock
from jobs.pitr.wal import ServedWal
from jobs.wal.source import WalSource
from tests.unit.repository.sample import SEGMENT_BYTES, open_sample, sample_cluster

FORK = Lsn(3 * SEGMENT_BYTES + 1000)
HISTORY = f"1\t{FORK}\tno recovery target specified\n".encode()


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterRepository:
    """Timeline 1 with segments 1 to 4, left within segment 3; timeline 2 with 3, 4 and the beginning of 5."""
    cluster = sample_cluster(open_sample(tmp_path))
    for timeline, numbers in ((1, (1, 2, 3, 4)), (2, (3, 4))):
        for number in numbers:
            cluster.wal.put_segment(timeline, number, content(timeline, number))
    cluster.wal.put_piece(2, 5, 0, content(2, 5)[:5000])
    cluster.wal.put_history(2, HISTORY)
    return cluster


def content(timeline: int, number: int) -> bytes:
    """Return bytes that only this segment has."""
    return bytes([timeline * 16 + number]) * SEGMENT_BYTES


def name(timeline: int, number: int) -> str:
    """Return a segment's name."""
    return segment_name(timeline, number, SEGMENT_BYTES)


def served(cluster: ClusterRepository, target: ResolvedTarget) -> ServedWal:
    """Serve what the cluster's archive holds."""
    source = WalSource(None, [cluster.wal], SEGMENT_BYTES)
    histories = source.histories()
    line = lineage(target.timeline, {t: parse_history(data.decode()) for t, data in histories.items()})
    return ServedWal(Stock(cluster, source, line, histories), target)


def test_each_segment_comes_from_the_timeline_the_line_of_descent_reads_it_from(cluster: ClusterRepository) -> None:
    """What timeline 1 wrote past the fork is not there for a recovery on timeline 2, and timeline 2 not for one on 1."""
    on_two = served(cluster, ResolvedTarget(2, Lsn(4 * SEGMENT_BYTES + 80), True))
    assert on_two.fetch(name(1, 2)) == content(1, 2)
    assert on_two.fetch(name(1, 3)) is None
    assert on_two.fetch(name(1, 4)) is None
    assert on_two.fetch(name(2, 3)) == content(2, 3)
    assert on_two.fetch(name(2, 2)) is None
    on_one = served(cluster, ResolvedTarget(1, Lsn(4 * SEGMENT_BYTES + 80), True))
    assert on_one.fetch(name(1, 4)) == content(1, 4)
    assert on_one.fetch(name(2, 4)) is None


def test_histories_are_as_they_are_kept(cluster: ClusterRepository) -> None:
    """A history file is served whole, and one that nobody wrote is absent."""
    wal = served(cluster, ResolvedTarget(2, Lsn(4 * SEGMENT_BYTES), True))
    assert wal.fetch("00000002.history") == HISTORY
    assert wal.fetch("00000003.history") is None


def test_pieces_are_filled_up_with_zeros(cluster: ClusterRepository) -> None:
    """A segment known in part has its size, and zeros where nothing is known."""
    wal = served(cluster, ResolvedTarget(2, Lsn(5 * SEGMENT_BYTES + 4000), True))
    assert wal.fetch(name(2, 5)) == content(2, 5)[:5000] + bytes(SEGMENT_BYTES - 5000)


@pytest.mark.parametrize("kept", [1, 4000, SEGMENT_BYTES - 1, SEGMENT_BYTES])
def test_latest_ends_where_it_was_planned(cluster: ClusterRepository, kept: int) -> None:
    """With no record at the target, everything from its LSN on is zeros, and no later segment exists, though it does."""
    target = ResolvedTarget(2, Lsn(4 * SEGMENT_BYTES + kept), False)
    wal = served(cluster, target)
    assert wal.fetch(name(2, 3)) == content(2, 3)
    assert wal.fetch(name(2, 4)) == content(2, 4)[:kept] + bytes(SEGMENT_BYTES - kept)
    assert wal.fetch(name(2, 5)) is None
    assert wal.fetch(name(2, 6)) is None
    exact = served(cluster, replace(target, record_exists=True))
    assert exact.fetch(name(2, 4)) == content(2, 4)


def test_a_missing_segment_is_an_error_and_never_the_end(cluster: ClusterRepository, tmp_path: Path) -> None:
    """A hole on the way to the target is named; the server must not take it for the end of the WAL."""
    next(tmp_path.glob(f"repository/**/{name(1, 2)}")).unlink()
    wal = served(cluster, ResolvedTarget(2, Lsn(4 * SEGMENT_BYTES + 80), True))
    with pytest.raises(Corruption, match=name(1, 2)) as missing:
        wal.fetch(name(1, 2))
    assert missing.value.reason_code == "wal-missing"
    with pytest.raises(Corruption):
        served(cluster, ResolvedTarget(1, Lsn(3 * SEGMENT_BYTES), False)).fetch(name(1, 2))


def test_a_hole_behind_the_target_is_no_hindrance(cluster: ClusterRepository, tmp_path: Path) -> None:
    """A server reads ahead of its target: what is missing there was removed on purpose, or lies in a hole nobody goes to."""
    wal = served(cluster, ResolvedTarget(1, Lsn(2 * SEGMENT_BYTES + 80), True))
    next(tmp_path.glob(f"repository/**/{name(1, 3)}")).unlink()
    assert wal.fetch(name(1, 2)) == content(1, 2)
    assert wal.fetch(name(1, 3)) is None


def test_what_is_complete_is_judged_on_the_target_s_line(cluster: ClusterRepository) -> None:
    """WAL counts only along the line of descent, up to where its pieces reach."""
    stock = Stock(
        cluster, WalSource(None, [cluster.wal], SEGMENT_BYTES), lineage(2, {2: parse_history(HISTORY.decode())}), {}
    )
    start = Lsn(SEGMENT_BYTES + 40)
    assert stock.has_wal(start, Lsn(5 * SEGMENT_BYTES + 5000))
    assert not stock.has_wal(start, Lsn(5 * SEGMENT_BYTES + 5001))
    assert not stock.has_wal(Lsn(40), Lsn(2 * SEGMENT_BYTES))

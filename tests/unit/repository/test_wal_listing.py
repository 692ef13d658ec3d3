"""WAL is listed while it is written: what becomes whole under a listing's eyes is no hole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.model.wal import Lsn, WalRange
from bot.repository.cluster import ClusterRepository
from bot.repository.stores import ObjectInfo
from bot.repository.stores.files import FilesStore
from tests.unit.repository.sample import SEGMENT_BYTES, open_sample, sample_cluster, segment

PIECE = 10_000
WHOLE = 5


class Meanwhile:
    """A directory in which something happens in the middle of each listing: between its folders, as the listing goes through."""

    def __init__(self, store: FilesStore, happens: Callable[[], object]) -> None:
        self._store = store
        self._happens = happens
        self.asked: list[str] = []

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        seen = list(self._store.list(prefix))
        self._happens()
        return (info for info in seen if self._store.exists(info.path))

    def names(self, prefix: str) -> Iterator[str]:
        seen = list(self._store.names(prefix))
        self._happens()
        return (path for path in seen if self._store.exists(path))

    def exists(self, path: str) -> bool:
        self.asked.append(path.rsplit("/", 1)[1])
        return self._store.exists(path)


def listed(
    cluster: ClusterRepository, happens: Callable[[], object] = lambda: None
) -> tuple[list[WalRange], list[str]]:
    """Return the ranges of a listing during which something happens, and the segments it looked at by name."""
    kept = cluster.repository.store
    assert isinstance(kept, FilesStore)
    store = Meanwhile(kept, happens)
    cluster.repository.store = store  # type: ignore[assignment]
    try:
        return cluster.wal.ranges(), store.asked
    finally:
        cluster.repository.store = kept


@pytest.fixture
def written(cluster: ClusterRepository) -> ClusterRepository:
    """A cluster with segments 1 to 5, the first piece of 6, and one of 7, that came before 6 was whole."""
    for number in range(1, WHOLE + 1):
        cluster.wal.put_segment(1, number, segment(number))
    for number in (WHOLE + 1, WHOLE + 2):
        cluster.wal.put_piece(1, number, 0, segment(number)[:PIECE])
    return cluster


@pytest.fixture
def complete(written: ClusterRepository, tmp_path: Path) -> Callable[[], None]:
    """Store the segment whole that only a piece was there of, and drop the piece, as the receiver does."""
    receiver = sample_cluster(open_sample(tmp_path))

    def stored_whole() -> None:
        receiver.wal.put_segment(1, WHOLE + 1, segment(WHOLE + 1))
        assert receiver.wal.drop_pieces(1, WHOLE + 1) == 1

    return stored_whole


def test_a_segment_that_becomes_whole_while_listed_is_no_hole(
    written: ClusterRepository, complete: Callable[[], None]
) -> None:
    """Its piece is gone when the listing comes there, and it was not there yet where the listing had been."""
    found, asked = listed(written, complete)
    assert found == [WalRange(1, Lsn(SEGMENT_BYTES), Lsn((WHOLE + 2) * SEGMENT_BYTES + PIECE))]
    assert asked == [f"{1:08X}{0:08X}{WHOLE + 1:08X}"]
    assert listed(written) == (found, [])


def test_the_same_where_sizes_are_listed(written: ClusterRepository, complete: Callable[[], None]) -> None:
    """Retention and sync list with sizes."""
    kept = written.repository.store
    assert isinstance(kept, FilesStore)
    written.repository.store = Meanwhile(kept, complete)  # type: ignore[assignment]
    assert written.wal.inventory().segments == {1: list(range(1, WHOLE + 2))}


def test_a_hole_is_a_hole(written: ClusterRepository) -> None:
    """What is not there is asked for, a few of it, and still a hole."""
    for number in (20, 30, 40, 50, 60):
        written.wal.put_segment(1, number, segment(number))
    found, asked = listed(written)
    assert [piece.start for piece in found] == [Lsn(n * SEGMENT_BYTES) for n in (1, WHOLE + 2, 20, 30, 40, 50, 60)]
    assert len(asked) == 16
    assert {f"{1:08X}{0:08X}{number:08X}" for number in (21, 51, 54)} <= set(asked)

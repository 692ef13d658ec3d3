"""One repository's shipper on real folders: what it ships, and what it never begins anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import Unavailable, Usage
from bot.host.spool import Spool, SpoolIdentity
from bot.model.wal import Lsn, segment_name
from bot.repository.cluster import ClusterRepository
from jobs.repositories import open_for_writing
from jobs.wal.progress import Progress
from jobs.wal.shipper import Shipper
from tests.unit.repository.sample import NAME, SEGMENT_BYTES, SYSTEM, wal_segment
from tests.unit.retention_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A repository whose ledger has not heard of it yet."""
    return World(tmp_path)


def shipper_of(world: World, spool: Spool) -> Shipper:
    """Return a shipper as the receiver makes it; its thread is not started."""

    def opened(begun: bool) -> ClusterRepository:
        return open_for_writing(world.config, world.ledger, "local", NAME, SYSTEM, SEGMENT_BYTES, begun=begun)

    progress = Progress()
    progress.streaming(1, Lsn(SEGMENT_BYTES), Lsn(SEGMENT_BYTES))
    return Shipper(
        "local", opened, spool, progress, system_id=SYSTEM, segment_bytes=SEGMENT_BYTES, every_s=1,
        trust_inherited=True, wal_kept_for=world.config.cluster(NAME).retention.wal,
    )  # fmt: skip


def spooled(world: World, *numbers: int) -> Spool:
    """Put whole segments into the cluster's spool."""
    spool = Spool(world.config.spool / NAME)
    spool.claim(SpoolIdentity(SYSTEM, SEGMENT_BYTES))
    for number in numbers:
        spool.put(segment_name(1, number, SEGMENT_BYTES), wal_segment(1, number))
    return spool


def test_a_repository_that_vanished_is_not_begun_anew(world: World) -> None:
    """Its disk is unmounted a moment after the first segment: the mount point stays empty, and what waits is shipped later."""
    shipper = shipper_of(world, spooled(world, 1))
    shipper.ship()
    root = world.home / "repository"
    root.rename(world.home / "unmounted")
    root.mkdir()
    spooled(world, 2)
    with pytest.raises(Unavailable):
        shipper.ship()
    shipper.forget()
    with pytest.raises((Unavailable, Usage)):
        shipper.ship()
    assert list(root.iterdir()) == []
    root.rmdir()
    (world.home / "unmounted").rename(root)
    shipper.ship()
    assert world.segments() == [1, 2]

"""What looks after backups, in a bucket: retention removes there what it said, and scrub reads all that is left."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from bot.model.runs import Job
from bot.repository.examine import examine
from bot.repository.stores.cloud import CloudStore
from bot.repository.stores.s3 import S3
from tests.unit.retention_world import SEGMENTS_A_DAY, World, day

RETENTION = "[clusters.slips.retention]\nbase = '4d'\nwal = '2d'\n[clusters.slips.scrub]\nbudget = '100%'\n"


@pytest.fixture
def world(s3_server: str, tmp_path: Path) -> World:
    """Seven days of backups and WAL in a bucket, kept for four and two days, looked at on the seventh."""
    prefix = secrets.token_hex(6)
    made = World(tmp_path, RETENTION, f'url = "s3://backups/{prefix}"\nendpoint_url = "{s3_server}"')
    made.days(7)
    made.now = day(6) + timedelta(minutes=3)
    return made


def test_retention_and_scrub_in_a_bucket(world: World) -> None:
    """What went is gone from the bucket with volumes and WAL, the rest is whole; a flipped bit is named and marks its backup."""
    before = world.ids()
    done = world.run(Job.RETENTION)
    assert done["ok"]
    gone = [removed["id"] for removed in done["removed"]]
    assert gone == before[:2]
    assert world.ids() == before[2:]
    store = cast(CloudStore, world.opened.store)
    paths = [found.path for found in store.list("")]
    assert not [path for path in paths if any(one in path for one in gone)], "nothing of them is left"
    own = [number * SEGMENTS_A_DAY for number in range(2, 4)]
    assert world.segments() == [*own, *range(4 * SEGMENTS_A_DAY, 7 * SEGMENTS_A_DAY)]
    assert list(examine(world.cluster)) == []
    read = world.run(Job.SCRUB)
    assert (read["ok"], read["objects"]) == (True, read["stored_objects"])
    [volume] = [path for path in paths if "volumes" in path and before[-1] in path]
    content = bytearray(b"".join(store.get(volume)))
    content[len(content) // 2] ^= 1
    cast(S3, store.cloud).call("put_object", volume, Body=bytes(content))
    world.now += timedelta(days=1)
    found = world.run(Job.SCRUB)
    assert (found["ok"], [damage["path"] for damage in found["damaged"]]) == (False, [volume])
    damaged = world.cluster.find(before[-1])
    assert damaged is not None
    assert damaged.damaged is not None
    store.close()

"""What a storage's lifecycle may age, and what comes back out of its archive: over HTTP, against moto and Azurite."""

from __future__ import annotations

import contextlib
import secrets
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from bot import desk
from bot.config import RepositoryConfig
from bot.errors import Unavailable
from bot.ledger import leases
from bot.model.ids import BackupId, RequestId
from bot.model.runs import Job
from bot.repository import layout
from bot.repository.archived import archived
from bot.repository.cluster import ClusterRepository
from bot.repository.examine import examine_backup
from bot.repository.open import open_repository
from bot.repository.releasing import released
from bot.repository.stores.azure import Azure
from bot.repository.stores.cloud import CloudStore
from bot.repository.stores.lifecycle import KIND_TAG, WINDOW_TAG
from bot.repository.stores.s3 import S3
from jobs.archived import said_of, wake
from tests.contract.conftest import open_cloud
from tests.integration.keeping.test_retention_job import lease
from tests.unit.repository.sample import NAME, SYSTEM
from tests.unit.retention_world import World, day

RETENTION = "[clusters.slips.retention]\nbase = '30d'\nwal = '2d'\n"


@pytest.fixture
def world(s3_server: str, tmp_path: Path) -> World:
    """Seven days of backups in a bucket with tags, kept for thirty days; WAL is kept for two."""
    place = f'url = "s3://backups/{secrets.token_hex(6)}"\nendpoint_url = "{s3_server}"\ntags = true'
    made = World(tmp_path, RETENTION, place)
    made.days(7)
    made.now = day(6) + timedelta(minutes=3)
    return made


def cloud_of(cluster: ClusterRepository) -> S3:
    """Return the bucket's calls."""
    return cast(S3, cast(CloudStore, cluster.repository.store).cloud)


def tagged(world: World) -> set[BackupId]:
    """Return the backups with a volume that the lifecycle may age; nothing else may carry that tag."""
    found = set()
    for path in world.opened.store.names(""):
        tags = {t["Key"]: t["Value"] for t in cloud_of(world.cluster).call("get_object_tagging", path)["TagSet"]}
        if WINDOW_TAG in tags:
            assert (layout.kind_of(path), tags) == ("volume", {KIND_TAG: "volume", WINDOW_TAG: "left"})
            found.add(cast(BackupId, layout.backup_of(path)))
    return found


def test_what_left_the_window_may_be_aged(world: World) -> None:
    """Retention tags the volumes of what only its age keeps, nothing while somebody plans, and takes back what is needed again."""
    ids = world.ids()
    assert tagged(world) == set()
    lease(world, 6)
    assert world.run(Job.RETENTION)["repositories"][0]["aged"]["left"] == []
    with world.ledger.transaction() as tx:
        leases.drop(tx, RequestId("r1"))
    first = world.run(Job.RETENTION)["repositories"][0]["aged"]
    assert first == {"left": ids[:4], "returned": [], "problem": ""}
    assert tagged(world) == set(ids[:4]) == released(world.cluster)
    assert world.run(Job.RETENTION)["repositories"][0]["aged"] == {"left": [], "returned": [], "problem": ""}
    world.run(Job.PIN, backup=ids[0], pinned=True)
    assert tagged(world) == set(ids[1:4]) == released(world.cluster)
    for damaged in ids[3:]:
        world.cluster.record_event(damaged, "damaged", at=world.now, text="a page")
    again = world.run(Job.RETENTION)["repositories"][0]["aged"]
    assert ids[2] in again["returned"], "it is the last sound one now"
    assert ids[2] not in tagged(world)


def test_a_lifecycle_never_outruns_retention(world: World) -> None:
    """What is to stay for longer than the rule lets it live is not released, nor what stays because backups stopped coming."""
    ids = world.ids()
    world.run(Job.RETENTION)
    assert tagged(world) == set(ids[:4])
    world.now += timedelta(days=340)
    done = world.run(Job.RETENTION)["repositories"][0]
    assert done["removed"] == []
    assert done["aged"]["returned"] == ids[:4]
    assert tagged(world) == set()


def test_without_the_right_to_tag(world: World) -> None:
    """A storage that has no lifecycle of ours is left alone."""
    settings = world.config.repositories["local"].model_copy(update={"tags": False})
    opened = open_repository("local", settings, world.config.encryption)
    plain = opened.cluster(NAME, SYSTEM)
    assert not cloud_of(plain).tags
    assert cloud_of(world.cluster).tags


def put_to_sleep(cluster: ClusterRepository, backup: BackupId) -> int:
    """Move a backup's volumes to Glacier, as a lifecycle rule does; return their bytes."""
    size, store = 0, cluster.repository.store
    for path in list(store.names(layout.volumes_of(cluster.name, cluster.system_id, backup))):
        if layout.kind_of(path) == "volume":
            content = store.read(path)
            cloud_of(cluster).call("put_object", path, Body=content, StorageClass="GLACIER")
            size += len(content)
    return size


def opened_with(world: World, retrieval: str | None) -> tuple[RepositoryConfig, ClusterRepository]:
    """Open the repository with another `retrieval`."""
    settings = world.config.repositories["local"].model_copy(update={"retrieval": retrieval})
    return settings, open_repository("local", settings, world.config.encryption).cluster(NAME, SYSTEM)


def test_a_backup_in_glacier_is_said_and_fetched_back(world: World) -> None:
    """The plan names size, place and time; without `retrieval` nothing is asked for; with it the executor waits and reads."""
    backup = world.ids()[0]
    size = put_to_sleep(world.cluster, backup)
    found = archived(world.cluster, backup)
    assert (len(found.objects), found.size, found.asked) == (1, size, frozenset())
    assert world.run(Job.SCRUB, all=True)["ok"], "a scrub passes over what sleeps"
    settings, cluster = opened_with(world, None)
    context = world.context(Job.SCRUB)
    with pytest.raises(Unavailable) as caught:
        wake(context, settings, cluster, backup, look_every_s=0.01)
    assert caught.value.reason_code == "storage-archived"
    assert "retrieval" in caught.value.hint
    assert archived(cluster, backup) == found, "nothing was asked for"
    settings, cluster = opened_with(world, "bulk")
    said = said_of(settings, "local", found)
    assert said is not None
    assert said.seconds == 12 * 3600
    assert "in Glacier" in said.sentence
    assert "bulk retrieval takes 5 h to 12 h, asked for once this is approved" in said.sentence
    wake(context, settings, cluster, backup, look_every_s=0.01)
    assert archived(cluster, backup).objects == ()
    assert list(examine_backup(cluster, backup)) == []
    assert archived(world.cluster, world.ids()[1]).objects == (), "others never slept"
    context.close()
    desk.finish_run(world.ledger, context.run.id, {}, world.now)


def test_a_blob_in_the_archive_tier(azure_server: str, closing: contextlib.ExitStack) -> None:
    """Azure's archive: seen in the listing and by its tier, readable again once it was rehydrated, however long that takes."""
    store = open_cloud("azure", azure_server, secrets.token_hex(6))
    closing.callback(store.close)
    path = f"{layout.volumes_of(NAME, SYSTEM, BackupId('20261122T020000Z-base-7f3a'))}/base/000000"
    store.put(path, [b"cold"])
    store.leave_window(path)
    cast(Azure, store.cloud)._blob(path).set_standard_blob_tier("Archive")
    assert [info.archived for info in store.list("")] == [True]
    assert store.asleep(path) == "asleep"
    store.retrieve(path)
    assert store.asleep(path) in {"waking", "awake"}
    store.enter_window(path)
    assert cast(Azure, store.cloud)._blob(path).get_blob_tags() == {KIND_TAG: "volume"}

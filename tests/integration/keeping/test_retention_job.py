"""The retention job on a real repository and ledger: what it removes, what it says, and what others keep it from."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import desk
from bot.errors import Refused
from bot.ledger import cards, catalogue, leases, runs
from bot.ledger.leases import Lease
from bot.model.ids import BackupId, RequestId, stamp
from bot.model.locks import Lock, Locked, Mode
from bot.model.runs import Job
from bot.model.wal import Lsn
from bot.repository.examine import examine
from bot.repository.keys.file import KeyFile, create_key_file
from bot.repository.keys.form import encode
from bot.repository.keys.lost import KeyUnopened
from bot.repository.open import open_repository
from jobs.live import announce, being_written
from jobs.retention import preview
from tests.unit.repository.sample import NAME, SYSTEM, write_backup
from tests.unit.retention_world import SEGMENTS_A_DAY, World, day

SHORT = "[clusters.slips.retention]\nbase = '10d'\nwal = '3d'\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Fourteen days of backups and WAL, kept for ten and three days, looked at on the fourteenth."""
    made = World(tmp_path, SHORT)
    made.days(14)
    made.now = day(13) + timedelta(minutes=3)
    return made


def one(result: dict[str, Any]) -> dict[str, Any]:
    """Return what the result says of the only history."""
    [found] = result["repositories"]
    assert isinstance(found, dict)
    return found


def test_what_a_run_removes_is_what_the_dry_run_said(world: World) -> None:
    """The same backups with the same reasons and the same WAL; the rest is whole, and a second run finds nothing."""
    said = preview(world.config, world.ledger, NAME, world.now)
    before = world.ids()
    done = world.run(Job.RETENTION)
    assert [b["id"] for b in done["removed"]] == before[:3]
    assert one(said)["removed"] == one(done)["removed"]
    assert one(said)["wal"] == one(done)["wal"]
    assert one(said)["kept"] == one(done)["kept"]
    assert done["ok"]
    assert done["bytes_freed"] > 0
    assert world.ids() == before[3:]
    own = [number * SEGMENTS_A_DAY for number in range(3, 10)]
    assert world.segments() == [*own, *range(10 * SEGMENTS_A_DAY, 14 * SEGMENTS_A_DAY)]
    assert list(examine(world.cluster)) == []
    again = world.run(Job.RETENTION)
    assert not again["removed"]
    assert one(again)["wal"]["segments"] == 0
    assert not again["news"]


def test_the_list_and_the_card_follow(world: World) -> None:
    """The ledger's catalogue has what is left; a card in the results channel is wanted when something went, else none."""
    first = world.run(Job.RETENTION)
    with world.ledger.read() as tx:
        assert [b.id for b in catalogue.list(tx, NAME)] == world.ids()[::-1]
        wanted = [card.subject for card in cards.stale(tx) if card.place == "results"]
        [run] = runs.recent(tx, jobs=(Job.RETENTION,))
    assert first["news"]
    assert wanted == [run.id]
    world.run(Job.RETENTION)
    with world.ledger.read() as tx:
        assert [card.subject for card in cards.stale(tx) if card.place == "results"] == [run.id]


def test_too_many_are_refused_before_anything_goes(tmp_path: Path) -> None:
    """A typing error in the ages: nothing is removed, the reason is said, and --force does it."""
    world = World(tmp_path, "[clusters.slips.retention]\nbase = '1d'\nwal = '1d'\n")
    world.days(10)
    world.now = day(9) + timedelta(minutes=3)
    before, wal = world.ids(), world.segments()
    with pytest.raises(Refused) as caught:
        world.run(Job.RETENTION)
    assert caught.value.reason_code == "too-many"
    assert (world.ids(), world.segments()) == (before, wal)
    assert len(world.run(Job.RETENTION, force=True)["removed"]) == 8


def lease(world: World, number: int) -> None:
    """Let a request lease the backup of a day."""
    backup = world.ids()[number]
    start = Lsn(number * SEGMENTS_A_DAY * 1024 * 1024 + 40)
    with world.ledger.transaction() as tx:
        tx.execute(
            "INSERT INTO requests (id, verb, cluster, state, version, requester, requester_name, reason, target, target_text,"
            " destination, created_at, changed_at, quorum) VALUES ('r1', 'pitr', ?, 'pending', 1, 'T/U', 'U', '', '{}', '',"
            " '{}', '2026-01-01', '2026-01-01', 1)",
            [NAME],
        )
        leases.take(tx, Lease(RequestId("r1"), "local", NAME, (backup,), 1, start, Lsn(start + 10**9)))


def test_a_lease_keeps_chain_and_wal_and_what_is_newer(world: World) -> None:
    """What a request stands on, and everything newer, stays until it ended; older backups go."""
    before = world.ids()
    lease(world, 1)
    done = world.run(Job.RETENTION)
    assert [b["id"] for b in done["removed"]] == before[:1]
    assert world.segments() == list(range(SEGMENTS_A_DAY, 14 * SEGMENTS_A_DAY))
    with world.ledger.transaction() as tx:
        leases.drop(tx, RequestId("r1"))
    assert [b["id"] for b in world.run(Job.RETENTION)["removed"]] == before[1:3]


@pytest.mark.parametrize("what", ["one", "all"])
def test_what_a_run_reads_stays(world: World, what: str) -> None:
    """A backup that a run reads stays; while a drill may read any, none goes, and no WAL."""
    before = world.ids()
    reading = world.context(Job.WAL_CHECK)
    desk.hold(
        world.ledger, reading.run.id, [Lock(f"chain:{NAME}" + ("" if what == "all" else f"/{before[2]}"), Mode.READ)]
    )
    done = world.run(Job.RETENTION)
    assert [b["id"] for b in done["removed"]] == (before[:2] if what == "one" else [])
    if what == "all":
        assert one(done)["wal"]["segments"] == 0
        assert {b["reason"] for b in one(done)["kept"]} == {f"run {reading.run.id} needs it"}


def test_who_comes_between_decision_and_deletion_is_in_time(world: World) -> None:
    """The ledger is asked again just before each deletion: a reader, a lease or a plan that came meanwhile wins."""
    removing = world.context(Job.RETENTION).run.id
    before = world.ids()
    reading = world.context(Job.WAL_CHECK)
    desk.hold(world.ledger, reading.run.id, [Lock(f"chain:{NAME}/{before[0]}", Mode.READ)])
    with pytest.raises(Locked):
        desk.claim_deletion(world.ledger, removing, before[0], reason="old", at=world.now)
    lock = desk.claim_deletion(world.ledger, removing, before[1], reason="old", at=world.now)
    with pytest.raises(Locked):
        desk.hold(world.ledger, reading.run.id, [Lock(f"chain:{NAME}/{before[1]}", Mode.READ)])
    desk.release(world.ledger, removing, lock)
    desk.hold(world.ledger, reading.run.id, [Lock(f"chain:{NAME}/{before[1]}", Mode.READ)])
    lease(world, 2)
    with pytest.raises(Locked, match="r1"):
        desk.claim_deletion(world.ledger, removing, before[3], reason="old", at=world.now)


def test_leftovers_are_told_apart(world: World) -> None:
    """Cut short: finished. Never finished: cleared away after hours, but not one that a run writes. Orphaned: kept, and told."""
    ids = world.ids()
    folder = f"{NAME}/{world.cluster.system_id}/backups"
    world.cluster.record_event(ids[0], "expired", at=world.now, text="too old")
    for orphan in (ids[0], ids[12]):
        world.opened.store.delete(f"{folder}/{orphan}/manifest")
    unfinished, live = (BackupId(f"20251201T020000Z-base-{n}") for n in ("aaaa", "bbbb"))
    for backup in (unfinished, live):
        writer = world.cluster.begin(backup, workers=1)
        archive = writer.archive("base", tar=False)
        archive.write(b"x")
        archive.close()
        writer.pipeline.close()
    writing = world.context(Job.BASE_BACKUP)
    announce(writing, live)
    assert being_written(world.ledger, NAME) == {live}
    world.now = day(13) + timedelta(days=400)
    first = one(world.run(Job.RETENTION))
    assert {(left["id"], left["state"]) for left in first["leftovers"]} == {
        (ids[0], "removed"),
        (ids[12], "kept"),
        (unfinished, "removed"),
    }
    assert set(world.cluster.without_manifest()) >= {live, ids[12]}
    world.now += timedelta(days=6)
    assert [left["state"] for left in one(world.run(Job.RETENTION))["leftovers"]] == ["kept"]
    world.now += timedelta(days=2)
    assert [left["state"] for left in one(world.run(Job.RETENTION))["leftovers"]] == ["removed"]
    desk.interrupt_run(world.ledger, writing.run.id, world.now)
    assert [left["id"] for left in one(world.run(Job.RETENTION))["leftovers"]] == [live]


def test_repositories_are_judged_each_for_itself(tmp_path: Path) -> None:
    """One repository that is away is a problem in the answer; the others are still seen to."""
    world = World(tmp_path, SHORT)
    world.days(14)
    text = world.path.read_text("utf-8").replace(
        "[encryption]", f'[repositories.away]\nurl = "file://{tmp_path}/nowhere"\n[encryption]'
    )
    world.path.write_text(text, "utf-8")
    world.config = type(world.config).model_validate(_toml(text))
    world.now = day(13) + timedelta(minutes=3)
    done = world.run(Job.RETENTION)
    assert len(done["removed"]) == 3
    assert not done["ok"]
    assert "nowhere" in done["problems"][0]


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


@pytest.mark.parametrize("harm", ["its key is another's", "its folder is gone", "a later one's folder is gone"])
def test_what_a_lost_key_seals_is_not_expired(world: World, harm: str) -> None:
    """While a data key does not open nothing goes: backups, and WAL they need, may be wanted once it is back. Then all does."""
    [lost] = world.opened.keys.ids()
    second = world.opened.keys.create()  # what is written from now on is sealed with another one
    later = open_repository("local", world.config.repositories["local"], world.config.encryption)
    write_backup(later.cluster(NAME, SYSTEM), BackupId(f"{stamp(day(13) + timedelta(minutes=1))}-base-ffff"))
    if harm == "a later one's folder is gone":
        lost = second
        later.keys.create()
    before, segments = world.ids(), world.segments()
    folder = world.home / "repository" / "keys" / lost
    form = (folder / "1").read_bytes()
    if harm == "its key is another's":
        create_key_file(world.home / "another")
        (folder / "1").write_bytes(encode(KeyFile(world.home / "another").wrap(lost, bytes(32))))
    else:
        shutil.rmtree(folder)
    with pytest.raises(KeyUnopened) as caught:
        world.run(Job.RETENTION)
    assert lost in caught.value.message
    folder.mkdir(exist_ok=True)
    (folder / "1").write_bytes(form)
    assert (world.ids(), world.segments()) == (before, segments)
    assert [b["id"] for b in world.run(Job.RETENTION)["removed"]] == before[:3]

"""Sync between repositories in folders: what comes is whole and the same bytes, what retention removed does not come back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import desk
from bot.config import load
from bot.errors import Unavailable, Usage
from bot.job import job_function
from bot.ledger import alerts, catalogue, runs
from bot.model.ids import BackupId
from bot.model.locks import Lock, Locked, Mode
from bot.model.runs import Job
from bot.repository.events import COPY_DAMAGED
from bot.repository.examine import examine
from bot.repository.open import open_repository
from bot.repository.stores.files import FilesStore
from jobs.context import Cancelled
from jobs.sync import preview
from jobs.sync.bring import Bringing
from jobs.sync.copying import WORKERS, Brought
from jobs.sync.look import look
from tests.unit.repository.sample import NAME, SEGMENT_BYTES, SYSTEM
from tests.unit.retention_world import Two, World, day


@pytest.fixture
def world(tmp_path: Path) -> Two:
    """Two days of backups with their WAL and every kind of object, all in the first repository."""
    made = Two(tmp_path)
    made.days(2)
    made.back_up(2, content=True)
    made.back_up(2, "dump")
    made.cluster.wal.put_segment(1, 4, bytes(SEGMENT_BYTES))
    made.cluster.wal.put_piece(1, 5, 0, b"x" * 5000)
    made.cluster.wal.put_history(2, b"1\t0/300400\tno recovery target specified\n")
    made.cluster.record_event(made.ids()[0], "verified", at=day(2))
    made.cluster.record_event(made.ids()[0], "pinned", at=day(2), text="by somebody")
    made.now = day(2.5)
    return made


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def volume(world: Two, name: str, backup: BackupId) -> Path:
    """Return the file of a backup's first volume in a repository."""
    return next(world.folder(name).glob(f"{NAME}/*/volumes/{backup}/*/000000"))


def test_everything_comes_byte_for_byte(world: Two) -> None:
    """An empty repository gets all, the same bytes under the same names, opens it with the keys that came, and lags no more;
    only what speaks about the first repository alone stays there. A second run has nothing to do.
    """
    before = preview(world.config, world.ledger, NAME)
    assert [one["id"] for one in world.of(before, "offsite")["lacked"]] == sorted(world.ids(), reverse=True)
    assert not world.folder("offsite").exists(), "a dry run makes nothing"
    result = world.run(Job.SYNC)
    assert result["ok"], result
    here, there = world.tree("local"), world.tree("offsite")
    assert set(here) - set(there) == {path for path in here if path.endswith("-verified")}
    assert {path: here[path] for path in there} == there
    told = re.compile(r"/volumes/.*/\d+$|/wal/\d+/[0-9A-F]{24}$")  # not histories, manifests, indexes, keys
    counted = sum(len(content) for path, content in there.items() if told.search(path))
    lacked = world.of(before, "offsite")
    assert sum(one["bytes_stored"] for one in lacked["lacked"]) + lacked["lacked_segment_bytes"] == counted
    assert list(examine(world.at("offsite"))) == []
    copied = {backup.id: backup for backup in world.at("offsite").backups()}
    assert copied[world.ids()[0]].pinned
    assert copied[world.ids()[0]].verified_at is None
    assert world.of(result, "offsite")["behind"]["backups"] == 0
    assert world.of(result, "local")["objects"] == 0
    with world.ledger.read() as tx:
        assert {b.id for b in catalogue.list(tx, NAME, "offsite")} == set(world.ids())
    again = world.run(Job.SYNC)
    assert again["ok"]
    assert again["objects"] == 0


def test_the_runbook_comes_too(tmp_path: Path) -> None:
    """A repository that was just filled says how it is restored from; one that is away keeps it from none behind it."""
    world = Two(tmp_path, third=True)
    world.days(2)
    world.now = day(2)
    world.run(Job.SYNC)
    pages = {name: list((world.folder(name) / NAME / "runbook").glob("*.md")) for name in ("local", "offsite", "third")}
    assert {len(found) for found in pages.values()} == {1}
    [text] = {found[0].read_text("utf-8") for found in pages.values()}
    assert world.ids()[-1] in text
    newer = world.back_up(3)
    world.now = day(4)
    world.folder("offsite").rename(tmp_path / "unmounted")
    world.run(Job.SYNC)
    for name in ("local", "third"):
        newest = max((world.folder(name) / NAME / "runbook").glob("*.md"))
        assert newer.id in newest.read_text("utf-8")
    assert not world.folder("offsite").exists()


def test_one_that_is_begun_gets_no_key_of_its_own(tmp_path: Path) -> None:
    """A repository that a sync begins has the data keys that what it holds is sealed with, and no other; so it says."""
    world = Two(tmp_path)
    world.days(1)
    rotated = world.opened.keys.create()
    world.cluster = open_repository("local", world.config.repositories["local"], world.config.encryption).cluster(
        NAME, SYSTEM
    )
    world.back_up(1)
    world.now = day(2)
    result = world.run(Job.SYNC)
    assert world.of(result, "offsite")["keys"] == 2
    keys = world.at("offsite").repository.keys
    assert keys.ids() == world.opened.keys.ids()
    assert keys.current()[0] == rotated


def test_nothing_is_begun_where_nothing_can_be_read(tmp_path: Path) -> None:
    """With the one repository that holds backups away, a sync fails, and makes no other one."""
    world = Two(tmp_path)
    world.days(1)
    with world.ledger.transaction() as tx:
        catalogue.replace(tx, NAME, "local", world.cluster.backups())
    world.folder("local").rename(tmp_path / "unmounted")
    with pytest.raises(Usage, match="has no folder"):
        world.run(Job.SYNC)
    assert not world.folder("offsite").exists()
    assert not world.folder("local").exists()


def test_both_ways(world: Two) -> None:
    """Each repository gets what only the other one has, also WAL."""
    world.run(Job.SYNC)
    offsite, local = world.at("offsite"), world.cluster
    world.cluster = offsite
    made = world.back_up(3)
    world.cluster = local
    offsite.wal.put_segment(1, 6, bytes(SEGMENT_BYTES))
    world.back_up(4)
    world.cluster.wal.put_segment(1, 8, bytes(SEGMENT_BYTES))
    world.now = day(4.5)
    result = world.run(Job.SYNC)
    assert result["ok"], result
    assert [one["id"] for one in world.of(result, "local")["copied"]] == [made.id]
    assert len(world.of(result, "offsite")["copied"]) == 1
    assert [b.id for b in offsite.backups()] == world.ids()
    assert offsite.wal.inventory().segments == world.cluster.wal.inventory().segments


def test_what_retention_removed_stays_away(tmp_path: Path) -> None:
    """A backup that is too old in one repository is not brought back from another one that still has it; a pin brings it."""
    world = Two(tmp_path)
    world.days(5)
    world.now = day(4.5)
    world.run(Job.SYNC)
    oldest = world.ids()[0]
    world.days(40, since=35)
    world.now = day(39.5)
    shutil.copytree(world.folder("offsite"), tmp_path / "kept")
    world.run(Job.RETENTION)
    assert oldest not in world.ids()
    shutil.rmtree(world.folder("offsite"))
    (tmp_path / "kept").rename(world.folder("offsite"))
    result = world.run(Job.SYNC)
    assert oldest not in world.ids()
    assert (
        "retention would remove it" in {one["id"]: one["reason"] for one in world.of(result, "local")["left"]}[oldest]
    )
    assert 0 not in world.segments(), "nor does its WAL"
    assert world.of(result, "local")["behind"]["backups"] == 0
    world.at("offsite").record_event(oldest, "pinned", at=world.now)
    world.run(Job.SYNC)
    assert world.cluster.find(oldest) is not None
    assert world.cluster.find(oldest).pinned  # type: ignore[union-attr]


def test_what_is_being_removed_is_not_copied(world: Two) -> None:
    """A backup that retention began to remove is neither a source nor brought back halfway."""
    gone = world.ids()[1]
    world.cluster.record_event(gone, "expired", at=world.now, text="too old")
    result = world.run(Job.SYNC)
    assert gone not in [b.id for b in world.at("offsite").backups()]
    assert "retention is removing it" in {one["id"]: one["reason"] for one in world.of(result, "offsite")["left"]}[gone]


@pytest.mark.parametrize("what", ["volumes/{id}/base/000001", "volumes/{id}/base/index", "backups/{id}/manifest"])
def test_damage_is_taken_from_elsewhere_or_named(tmp_path: Path, what: str) -> None:
    """A damaged object comes from another repository that has it whole; without one it is named, the copy it lies in is marked,
    nothing of the backup is visible in the target, and the next run does not try again what cannot be had.
    """
    world = Two(tmp_path, third=True)
    made = world.back_up(0, content=True)
    world.cluster.wal.put_segment(1, 0, bytes(SEGMENT_BYTES))
    world.now = day(0.5)
    world.run(Job.SYNC)
    shutil.rmtree(world.folder("third"))
    world.folder("third").mkdir()
    with world.ledger.transaction() as tx:
        catalogue.replace(tx, NAME, "third", [])
    flip(next(world.folder("local").glob(f"{NAME}/*/{what.format(id=made.id)}")))
    result = world.run(Job.SYNC)
    assert result["ok"], result
    assert list(examine(world.at("third"))) == []
    assert world.cluster.find(made.id).damaged  # type: ignore[union-attr]
    assert not world.at("third").find(made.id).damaged  # type: ignore[union-attr]

    shutil.rmtree(world.folder("third"))
    world.folder("third").mkdir()
    shutil.rmtree(world.folder("offsite"))
    world.folder("offsite").mkdir()
    with world.ledger.transaction() as tx:
        catalogue.replace(tx, NAME, "third", [])
        catalogue.replace(tx, NAME, "offsite", [])
    events = world.folder("local").glob(f"{NAME}/*/backups/{made.id}/events/*-{COPY_DAMAGED}")
    for event in events:
        event.unlink()
    result = world.run(Job.SYNC)
    assert not result["ok"]
    assert {one["path"].endswith(what.format(id=made.id)) for one in result["damaged"]} == {True}
    with world.ledger.read() as tx:
        [alert] = [one for one in alerts.list(tx, cluster=NAME) if one.concern.subject == "sync"]
    assert made.id in alert.concern.sentence
    assert world.at("offsite").backups() == []
    assert world.run(Job.SYNC)["damaged"] == []


def links_until(count: int) -> None:
    """End this process without warning just before its link number `count`: each object becomes visible by one."""
    seen = [0]

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event == "os.link":
            seen[0] += 1
            if seen[0] == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed_at(world: Two, count: int) -> bool:
    """Sync in a child that dies before its object number `count` is there; return whether it died."""
    child = os.fork()
    if child == 0:
        try:
            context = world.context(Job.SYNC)
            links_until(count)
            from jobs.sync import run

            run(context)
        finally:
            os._exit(0)
    died = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    with world.ledger.read() as tx:
        [last] = runs.unfinished(tx)
    desk.interrupt_run(world.ledger, last.id, world.now)
    return died


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.full)])
def test_killed_before_each_object(world: Two, step: int) -> None:
    """kill -9 before one object after the other: every backup that is listed is whole, and the next run brings what is lacking."""
    whole = (
        len(world.tree("local")) - 1 + 2
    )  # without what speaks about the first alone; with the runbook and its script
    count, rest = 1 - step, []
    while True:
        count += step
        shutil.rmtree(world.folder("offsite"), ignore_errors=True)
        with world.ledger.transaction() as tx:
            catalogue.replace(tx, NAME, "offsite", [])
        if not killed_at(world, count):
            break
        if (world.folder("offsite") / NAME / SYSTEM / "cluster.json").exists():
            there = world.at("offsite")
            assert list(examine(there)) == [], count
            ranges = there.wal.ranges()
            for backup in there.backups():
                covered = any(r.start <= backup.start_lsn and backup.end_lsn <= r.end for r in ranges)
                assert backup.kind == "dump" or covered, (count, backup.id)
        if count % (step * 3) == 1:
            result = world.run(Job.SYNC)
            assert result["ok"], (count, result)
            rest.append(result["objects"])
            assert list(examine(world.at("offsite"))) == []
            assert len(world.tree("offsite")) == whole
    assert count > whole
    assert rest == sorted(rest, reverse=True)
    assert rest[-1] < whole / 2


def test_what_only_looks_like_it_is_not_taken_for_it(world: Two) -> None:
    """An object of another write that lies where a copy belongs, of the right size, is replaced before the manifest comes."""
    backup = world.ids()[-1]
    while not list(world.folder("offsite").glob(f"{NAME}/*/volumes/{backup}/*/000000")):
        assert killed_at(world, 2)
    for path in world.folder("offsite").glob(f"{NAME}/*/volumes/{backup}/*/000000"):
        path.write_bytes(bytes(path.stat().st_size))
    assert world.at("offsite").find(backup) is None
    assert world.run(Job.SYNC)["ok"]
    assert world.at("offsite").find(backup) is not None
    assert list(examine(world.at("offsite"))) == []


def test_pins_follow_the_newest_word(world: Two) -> None:
    """Pinned here and unpinned there later: unpinned everywhere; the other way round, pinned."""
    world.run(Job.SYNC)
    one, other = world.ids()[1:3]
    offsite = world.at("offsite")
    world.cluster.record_event(one, "pinned", at=day(3))
    offsite.record_event(one, "unpinned", at=day(4))
    offsite.record_event(other, "pinned", at=day(4))
    world.cluster.record_event(other, "unpinned", at=day(3))
    world.now = day(4.5)
    world.run(Job.SYNC)
    for cluster in (world.cluster, world.at("offsite")):
        assert not cluster.find(one).pinned  # type: ignore[union-attr]
        assert cluster.find(other).pinned  # type: ignore[union-attr]


def test_a_pin_while_a_repository_is_away(world: Two) -> None:
    """The pin counts where it can be written, says where it could not, and sync brings it there."""
    world.run(Job.SYNC)
    backup = world.ids()[1]
    world.folder("offsite").rename(world.home / "away")
    done = world.run(Job.PIN, backup=backup, pinned=True)
    assert done["repositories"] == ["local"]
    assert list(done["away"]) == ["offsite"]
    (world.home / "away").rename(world.folder("offsite"))
    world.now = day(2.6)
    assert world.of(world.run(Job.SYNC), "offsite")["events"] == 1
    assert world.at("offsite").find(backup).pinned  # type: ignore[union-attr]


def test_a_repository_that_is_away_is_named(world: Two) -> None:
    """One that was used and is gone is a problem, never made anew; the others are brought up all the same."""
    world.run(Job.SYNC)
    world.folder("offsite").rename(world.home / "unmounted")
    result = world.run(Job.SYNC)
    assert not result["ok"]
    assert "offsite" in result["problems"][0]
    assert not world.folder("offsite").exists()
    with world.ledger.read() as tx:
        assert [one for one in alerts.list(tx, cluster=NAME) if one.concern.subject == "sync"] == []
    world.folder("local").rename(world.home / "gone")
    with pytest.raises((Unavailable, Usage)):
        world.run(Job.SYNC)


def test_retention_and_sync_leave_each_other_alone(world: Two) -> None:
    """While a backup is deleted it is not copied, and while it is copied it is not deleted."""
    backup = world.ids()[0]
    lock = Lock(f"chain:{NAME}/{backup}", Mode.DELETE)
    removing = world.context(Job.RETENTION).run.id
    desk.hold(world.ledger, removing, [lock])
    result = world.run(Job.SYNC)
    assert [one["id"] for one in world.of(result, "offsite")["left"]] == [backup]
    desk.release(world.ledger, removing, lock)
    copying = world.context(Job.SYNC).run.id
    desk.hold(world.ledger, copying, [Lock(f"chain:{NAME}/{backup}", Mode.WRITE)])
    with pytest.raises(Locked):
        desk.claim_deletion(world.ledger, removing, backup, reason="old", at=world.now)


def test_its_own_wal_comes_first(world: Two) -> None:
    """A base backup whose WAL is nowhere is not brought: it could not be restored."""
    late = world.back_up(9)
    world.now = day(9.5)
    result = world.run(Job.SYNC)
    assert {one["id"]: one["reason"] for one in world.of(result, "offsite")["left"]} == {
        late.id: "its own WAL is in no repository"
    }


def test_server_damage_travels_and_a_copy_s_does_not(tmp_path: Path) -> None:
    """A backup with pages that the server had damaged is copied, and marked so; damage of one copy stays with that copy."""
    world = Two(tmp_path)
    marked = world.back_up(0, damaged="page checksums are wrong in base/5/1259 block 7")
    world.back_up(1)
    for number in range(4):
        world.cluster.wal.put_segment(1, number, bytes(SEGMENT_BYTES))
    world.now = day(1.5)
    world.run(Job.SYNC)
    world.cluster.record_event(world.ids()[1], COPY_DAMAGED, at=world.now, text="a bit")
    world.now += timedelta(hours=1)
    world.run(Job.SYNC)
    there = {backup.id: backup.damaged for backup in world.at("offsite").backups()}
    assert there == {marked.id: marked.damaged, world.ids()[1]: None}
    with world.ledger.read() as tx:
        assert {b.id: b.damaged for b in catalogue.list(tx, NAME)} == there


def test_one_repository_has_nothing_to_do(tmp_path: Path) -> None:
    """Where there is one repository nothing is scheduled, and a run says that all is well."""
    world = World(tmp_path)
    world.days(1)
    assert Job.SYNC not in dict(world.config.crons(NAME))
    assert world.run(Job.SYNC)["ok"]
    (tmp_path / "two").mkdir()
    assert Job.SYNC in dict(Two(tmp_path / "two").config.crons(NAME))


def brought_from(world: Two, store: FilesStore) -> Brought:
    """Bring to the second repository what the first one gives through another store."""
    context = world.context(Job.SYNC)
    found = look(world.config, world.ledger, NAME, world.now, create=True)
    [due] = [one for one in found.due if one.target.name == "offsite"]
    [source] = due.others
    assert source.side.opened is not None
    source.side.opened.store = store
    brought = Brought("offsite")
    Bringing(context, due, brought).run()
    desk.fail_run(world.ledger, context.run.id, {"message": "away"}, world.now)
    return brought


def test_a_source_that_goes_away_ends_the_run(world: Two) -> None:
    """It is not asked for each object again: what was brought stays, the rest is a problem, and the next run goes on."""
    asked: list[str] = []

    class Dying(FilesStore):
        """A store whose network ends after some objects."""

        def get(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
            asked.append(path)
            if len(asked) > 8:
                raise Unavailable("The network is gone.", code="storage-failed")
            return super().get(path, offset, length)

    assert brought_from(world, Dying(world.folder("local"))).problem == "The network is gone."
    assert len(asked) <= 8 + WORKERS
    assert list(examine(world.at("offsite"))) == []
    assert world.run(Job.SYNC)["ok"]


def test_what_is_asleep_is_left(world: Two) -> None:
    """A backup in an archive is left with a word, and keeps nothing else from being brought."""
    asleep = world.ids()[1]

    class Archive(FilesStore):
        """A store that has the volumes of one backup in Glacier."""

        def get(self, path: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
            if f"volumes/{asleep}/" in path:
                raise Unavailable("It is in Glacier.", code="storage-archived")
            return super().get(path, offset, length)

    brought = brought_from(world, Archive(world.folder("local")))
    assert brought.problem == ""
    assert brought.left == {asleep: "an object of it cannot be read now: It is in Glacier."}
    assert [b.id for b in world.at("offsite").backups()] == [b for b in world.ids() if b != asleep]
    assert world.at("offsite").wal.inventory().segments == world.cluster.wal.inventory().segments


def test_a_rate_is_kept(world: Two) -> None:
    """A repository with `max_rate_kib` is not filled faster, by all threads together; what was brought is the same."""
    lacked = world.of(preview(world.config, world.ledger, NAME), "offsite")
    size = sum(one["bytes_stored"] for one in lacked["lacked"]) + lacked["lacked_segment_bytes"]
    rate_kib = size // 1024
    text = world.path.read_text("utf-8").replace(
        "[repositories.offsite]", f"[repositories.offsite]\nmax_rate_kib = {rate_kib}"
    )
    world.path.write_text(text, "utf-8")
    world.config, _ = load(world.path)
    began = time.monotonic()
    assert world.run(Job.SYNC)["ok"]
    assert time.monotonic() - began >= size / (rate_kib * 1024)
    assert list(examine(world.at("offsite"))) == []


def test_a_slow_copy_can_be_cancelled(world: Two) -> None:
    """A run that waits for its rate ends when it is asked to, long before its next block may go; what is listed is whole."""
    text = world.path.read_text("utf-8").replace("[repositories.offsite]", "[repositories.offsite]\nmax_rate_kib = 1")
    world.path.write_text(text, "utf-8")
    world.config, _ = load(world.path)
    context = world.context(Job.SYNC)
    waiting = threading.Timer(0.5, context.cancel)
    waiting.start()
    with pytest.raises(Cancelled):
        job_function(Job.SYNC)(context)
    waiting.join()
    context.close()
    assert list(examine(world.at("offsite"))) == []

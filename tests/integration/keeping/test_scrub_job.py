"""Scrub on a real repository: whatever is damaged or missing is named, the budget holds, and a killed run goes on."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import desk
from bot.config import load
from bot.errors import Unavailable, Usage
from bot.ledger import alerts, catalogue, scrubbed
from bot.ledger.scrubbed import Check
from bot.model.runs import Job
from bot.model.scrub import Budget, Stored, coverage_age, due
from bot.repository.open import open_repository
from jobs.scrub.read import Looked, Reader, list_parts
from tests.unit.repository.sample import NAME, SECOND, SEGMENT_BYTES, SYSTEM, write_backup
from tests.unit.retention_world import World, day

KINDS = {
    "volume": "volumes/{id}/base/000001",
    "plain volume": "volumes/{id}/backup_manifest/000000",
    "index": "volumes/{id}/base/index",
    "manifest": "backups/{id}/manifest",
    "summary": "backups/{id}/summary",
    "event": "backups/{id}/events/*-verified",
    "segment": "wal/00000001/000000010000000000000001",
    "piece": "wal/00000001/*.partial/*",
    "history file": "wal/00000002/00000002.history",
    "identity": "cluster.json",
    "key": "../../keys/*/1",
    "stranger": "maps/one",
}
WRITTEN = datetime.now(UTC) + timedelta(days=1)
"""After whatever this run of the tests writes, however long it takes until then."""
VITAL = {"volume", "plain volume", "index", "manifest", "event"}
"""What makes its backup a damaged one; an event that cannot be read may have said just that."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A day's backup with every kind of object, and WAL."""
    made = World(tmp_path, '[clusters.slips.scrub]\nbudget = "100%"\n')
    made.back_up(0, content=True)
    made.cluster.record_event(made.ids()[0], "verified", at=day(0) + timedelta(hours=1))
    for number in range(3):
        made.cluster.wal.put_segment(1, number, bytes(1024 * 1024))
    made.cluster.wal.put_piece(1, 3, 0, b"x" * 5000)
    made.cluster.wal.put_history(2, b"1\t0/300400\tno recovery target specified\n")
    made.opened.put_body(f"{NAME}/{made.cluster.system_id}/maps/one", b"somebody's")
    made.now = later(0)
    return made


def later(days: float) -> datetime:
    """Return a time some days after the objects were written, which their files say."""
    return WRITTEN + timedelta(days=days)


def file_of(world: World, kind: str) -> Path:
    """Return the file of the object of a kind."""
    pattern = KINDS[kind].format(id=world.ids()[0])
    folder = world.home / "repository" / NAME / world.cluster.system_id
    [found] = (folder / "..").resolve().parent.glob("keys/*/1") if kind == "key" else folder.glob(pattern)
    return found


def test_all_is_well(world: World) -> None:
    """Everything is read, nothing is called damaged, and the coverage is as old as this run."""
    result = world.run(Job.SCRUB)
    assert result["ok"]
    assert result["objects"] == result["stored_objects"] > 12
    assert result["bytes"] == result["stored_bytes"]
    assert result["coverage_age_s"] == 0
    assert not result["news"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_each_kind_of_object(world: World, kind: str) -> None:
    """The object is named, its backup is marked damaged where a restore needs it, and an alert pages until it is well again."""
    backup = world.ids()[0]
    path = file_of(world, kind)
    before = path.read_bytes()
    flipped = bytearray(before)
    flipped[len(before) // 2] ^= 1
    path.write_bytes(flipped)
    result = world.run(Job.SCRUB)
    assert not result["ok"]
    name = str(path.relative_to(world.home / "repository"))
    assert name in {damage["path"] for damage in result["damaged"]}
    if kind in {"identity", "key"}:
        return  # nothing else can be read then; what it is about is said
    found = world.cluster.find(backup)
    assert found is not None
    assert (found.damaged is not None) == (kind in VITAL)
    with world.ledger.read() as tx:
        [alert] = [one for one in alerts.list(tx, cluster=NAME) if one.concern.subject == "scrub"]
        shown = catalogue.find(tx, NAME, backup)
    assert name.rsplit("/", 1)[1] in alert.concern.sentence or name in alert.concern.sentence
    assert shown is not None
    assert shown.damaged == found.damaged
    again = world.run(Job.SCRUB)
    assert name in {damage["path"] for damage in again["damaged"]}, "damage is told until it is gone"
    events = list((path.parent).glob("events/*-damaged"))
    assert len(events) <= 1


@pytest.mark.parametrize("kind", ["volume", "index", "segment"])
def test_what_is_missing_is_named(world: World, kind: str) -> None:
    """An object that a manifest names, or that the recovery window needs, is missed without reading anything else."""
    path = file_of(world, kind)
    path.unlink()
    result = world.run(Job.SCRUB)
    name = str(path.relative_to(world.home / "repository"))
    assert [damage["path"] for damage in result["damaged"]] == [name]
    assert (world.cluster.find(world.ids()[0]).damaged is not None) == (kind != "segment")  # type: ignore[union-attr]


def test_a_manifest_that_somebody_removed_is_named(world: World) -> None:
    """A finished backup without its manifest is in no list: scrub says so an hour after it was written, until retention lets go."""
    path = file_of(world, "manifest")
    name, backup = str(path.relative_to(world.home / "repository")), world.ids()[0]
    path.unlink()
    world.now = datetime.now(UTC) + timedelta(minutes=5)
    assert world.run(Job.SCRUB)["ok"], "it may just be being written"
    world.now = later(1)
    result = world.run(Job.SCRUB)
    assert [damage["path"] for damage in result["damaged"]] == [name]
    assert "missing" in result["damaged"][0]["message"]
    world.cluster.record_event(backup, "expired", at=world.now, text="somebody lets go")
    assert world.run(Job.SCRUB)["ok"]


def test_a_cut_object_is_seen_at_once(world: World) -> None:
    """An object shorter than its manifest says is read first, whatever the budget."""
    world = resized(world, "1B")
    path = file_of(world, "volume")
    path.write_bytes(path.read_bytes()[:-1])
    assert world.run(Job.SCRUB)["damaged"][0]["path"].endswith("base/000001")


def resized(world: World, budget: str) -> World:
    """Give a world another budget."""
    text = world.path.read_text("utf-8").replace('budget = "100%"', f'budget = "{budget}"')
    world.path.write_text(text, "utf-8")
    world.config, _ = load(world.path)
    return world


def test_the_budget_is_a_day_s_and_all_is_read_in_time(world: World) -> None:
    """Runs of one day share its budget; over the days every object is read, and the age of coverage says how long that takes."""
    world = resized(world, "30%")
    total = world.run(Job.SCRUB, all=True)["stored_bytes"]
    world.now = later(1)
    first, second = world.run(Job.SCRUB), world.run(Job.SCRUB)
    assert 0 < first["bytes"] <= 0.3 * total
    assert second["bytes"] <= 0.3 * total - first["bytes"] or second["objects"] <= 1
    ages = []
    for number in range(3, 12):
        world.now = later(number)
        ages.append(world.run(Job.SCRUB)["coverage_age_s"] / 86400)
    assert max(ages[5:]) <= 7, ages


def test_a_lost_ledger_does_no_harm(world: World) -> None:
    """Without memory objects count as read when they were written; nothing is damaged, and reading begins with the oldest."""
    world.run(Job.SCRUB)
    with world.ledger.transaction() as tx:
        scrubbed.forget(tx, "local", list(scrubbed.known(tx, "local")))
    result = resized(world, "10%").run(Job.SCRUB)
    assert result["ok"]
    assert result["objects"] >= 1


def test_what_is_gone_is_forgotten(world: World) -> None:
    """What retention removed is not remembered for ever."""
    world.run(Job.SCRUB)
    world.opened.store.delete(f"{NAME}/{world.cluster.system_id}/maps/one")
    world.run(Job.SCRUB)
    with world.ledger.read() as tx:
        assert not [path for path in scrubbed.known(tx, "local") if path.endswith("maps/one")]


def test_storage_that_is_away_proves_nothing(world: World) -> None:
    """The folder vanishes: a problem, exit code 1, and no object is called damaged."""
    (world.home / "repository").rename(world.home / "unmounted")
    with pytest.raises((Unavailable, Usage)):
        world.run(Job.SCRUB)
    (world.home / "unmounted").rename(world.home / "repository")
    assert not list((world.home / "repository").rglob("*-damaged"))


def test_a_killed_run_goes_on(world: World) -> None:
    """What was read before a kill -9 is remembered; the next run begins with the rest."""
    child = os.fork()
    if child == 0:
        try:
            context = world.context(Job.SCRUB)
            parts, stored = list_parts(context, world.cluster)
            looked = Looked(stored=stored)
            reader = Reader(context, world.cluster, looked)
            ordered = due(stored.values(), None)
            reader.read((one, parts[one.path]) for one in ordered[:5])
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    with world.ledger.read() as tx:
        assert len(scrubbed.known(tx, "local")) == 5
        from bot.ledger import runs

        [run] = runs.recent(tx, jobs=(Job.SCRUB,))
    desk.interrupt_run(world.ledger, run.id, world.now)
    result = world.run(Job.SCRUB)
    assert result["objects"] == result["stored_objects"] - 5
    assert result["coverage_age_s"] == 0


SIZES = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 1000), st.booleans()), max_size=30)


@given(SIZES, st.integers(0, 2000))
def test_what_is_due(objects: list[tuple[int, int, bool]], budget: int) -> None:
    """All damaged ones, then the longest unread; never more than the budget, but at least one while any of it is left."""
    stored = [Stored(str(n), size, day(0) + timedelta(days=at), bad) for n, (at, size, bad) in enumerate(objects)]
    chosen, damaged = due(stored, budget), [one for one in stored if one.damaged]
    assert chosen == due(stored, None)[: len(chosen)]
    assert len(due(stored, None)) == len(stored)
    assert set(damaged) <= set(chosen)
    rest = len(chosen) - len(damaged)
    assert rest == 0 or len(chosen) == 1 or sum(one.size for one in chosen) <= budget
    assert bool(chosen) == bool(damaged or (budget > 0 and stored))
    assert coverage_age(stored, day(101)) == max((day(101) - one.known_at for one in stored), default=timedelta(0))


@pytest.mark.parametrize(
    ("text", "of_a_terabyte"),
    [("5%", 50_000_000_000), ("20GiB", 20 * 1024**3), ("500 MB", 500_000_000), ("1B", 1), ("12", 12), ("100%", 10**12)],
)
def test_budgets_that_are_read(text: str, of_a_terabyte: int) -> None:
    """A share of what is stored, or a size."""
    assert Budget.parse(text).of(10**12) == of_a_terabyte


@pytest.mark.parametrize("text", ["", "0%", "101%", "-5%", "much", "0", "5 % of it", "1PB"])
def test_budgets_that_are_not(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r"share|size"):
        Budget.parse(text)


def test_checks_are_kept_by_repository(world: World) -> None:
    """The same path in two repositories is two objects."""
    with world.ledger.transaction() as tx:
        scrubbed.note(tx, "local", [Check("a", 1, day(0), "")])
        scrubbed.note(tx, "offsite", [Check("a", 2, day(1), "flipped")])
        assert scrubbed.known(tx, "local") == {"a": Check("a", 1, day(0), "")}
        assert scrubbed.known(tx, "offsite") == {"a": Check("a", 2, day(1), "flipped")}


def test_a_data_key_that_is_gone_marks_no_backup(world: World) -> None:
    """Its folder deleted, a scrub names the folder once and says how many backups it takes along; brought back, all are sound."""
    [first] = world.opened.keys.ids()
    world.back_up(1, content=True)
    world.opened.keys.create()
    later_key = open_repository("local", world.config.repositories["local"], world.config.encryption)
    write_backup(later_key.cluster(NAME, SYSTEM), SECOND)
    folder = world.home / "repository" / "keys" / first
    form = (folder / "1").read_bytes()
    # What names the cluster is sealed with it too; a copy sealed with another key lets the rest be looked at.
    identity = next((world.home / "repository").rglob("cluster.json"))
    kept = identity.read_bytes()
    identity.unlink()
    later_key.put_json(
        str(identity.relative_to(world.home / "repository")),
        {"format": 1, "cluster": NAME, "system_id": SYSTEM, "segment_bytes": SEGMENT_BYTES},
    )
    (folder / "1").unlink()
    folder.rmdir()
    result = world.run(Job.SCRUB, all=True)
    of_key = [damage for damage in result["damaged"] if damage["path"] == f"keys/{first}/1"]
    assert len(of_key) == 1
    assert "It takes along 2 backups" in of_key[0]["message"]
    others = [damage["path"] for damage in result["damaged"] if damage not in of_key]
    assert [path.rsplit("/", 1)[1] for path in others] == ["000000010000000000000020"], "WAL the last sample never had"
    folder.mkdir()
    (folder / "1").write_bytes(form)
    identity.write_bytes(kept)
    again = open_repository("local", world.config.repositories["local"], world.config.encryption)
    assert [backup.damaged for backup in again.cluster(NAME, SYSTEM).backups()] == [None, None, None]

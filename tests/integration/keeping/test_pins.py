"""Pins: who may, written beside the backup in every repository that holds it, once, and never lost to a race with retention."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot import desk
from bot.errors import Conflict, Refused, Unavailable, Usage
from bot.ledger import audit, catalogue, people
from bot.model.backup_commands import Pin, parse_backup
from bot.model.callers import Caller
from bot.model.ids import BackupId
from bot.model.locks import Locked
from bot.model.people import Person, PersonFacts, Policy
from bot.model.runs import Job, Run
from jobs.catalogue import renew_catalogue
from jobs.context import JobContext
from jobs.pin import run as pin_job
from tests.unit.repository.sample import NAME
from tests.unit.retention_world import World, day

TEAM = "T1"
ENGINEER, GUEST = Person(TEAM, "UENGINEER"), Person(TEAM, "UGUEST")
POLICY = Policy(("everyone",), ("UDBA",), 1, 1800, 600, "v1", 0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three days of backups, known to the ledger."""
    made = World(tmp_path)
    made.days(3)
    made.now = day(3)
    renew_catalogue(made.config, made.ledger, NAME)
    with made.ledger.transaction() as tx:
        people.set_team(tx, TEAM)
    return made


def ask(world: World, backup: BackupId, *, pinned: bool = True, by: Person = ENGINEER, key: str = "k1") -> Run:
    """Ask for a pin as a person does in Slack."""
    facts = PersonFacts(by, by.user, "UTC", world.now, guest=by is GUEST)
    caller = Caller(by=by, policy=POLICY, key=key, at=world.now, entropy=key.encode().rjust(16, b"x"), facts=facts)
    return desk.pin(world.ledger, caller, NAME, backup, pinned=pinned)


def carry_out(world: World, run: Run) -> dict[str, Any]:
    """Execute the run of a pin."""
    started = desk.start_run(world.ledger, run.id, world.now)
    result = pin_job(JobContext(started, world.config, world.ledger, now=lambda: world.now))
    desk.finish_run(world.ledger, run.id, result, world.now)
    return result


def pinned(world: World, backup: BackupId) -> bool:
    """Say what the repository says."""
    found = world.cluster.find(backup)
    assert found is not None
    return found.pinned


def test_pinned_and_unpinned(world: World) -> None:
    """It is an event in the repository, shown by the list, kept by retention beyond its age, and ended by another event."""
    [old, *_] = world.ids()
    assert carry_out(world, ask(world, old)) == {
        "backup": old, "pinned": True, "repositories": ["local"], "away": {}
    }  # fmt: skip
    assert pinned(world, old)
    with world.ledger.read() as tx:
        shown = catalogue.find(tx, NAME, old)
    assert shown is not None
    assert shown.pinned
    again = ask(world, old, pinned=False, key="k2")
    world.now = day(2)
    carry_out(world, again)
    assert not pinned(world, old), "although the clock was set back between"


def test_once_however_often(world: World) -> None:
    """The same click is one run; pinning what is pinned writes nothing more."""
    [old, *_] = world.ids()
    first = ask(world, old)
    assert ask(world, old).id == first.id
    carry_out(world, first)
    carry_out(world, ask(world, old, key="k2"))
    events = list(world.opened.store.list(f"{NAME}/{world.cluster.system_id}/backups/{old}/events"))
    assert len(events) == 1


def test_who_may(world: World) -> None:
    """A guest may not, nor anybody for a backup that is not there; both attempts are audited, the nearest id is offered."""
    [old, *_] = world.ids()
    with pytest.raises(Refused):
        ask(world, old, by=GUEST)
    with pytest.raises(Usage) as unknown:
        ask(world, BackupId(old[:-1] + "f"), key="k2")
    assert old in unknown.value.hint
    with world.ledger.read() as tx:
        actions = [entry.action for entry in audit.entries(tx)]
    assert actions.count("backup.pin.refused") == 2


def test_a_race_with_retention(world: World) -> None:
    """While a pin waits to be written retention does not touch the backup; while it removes one, a pin is refused in words."""
    [old, other, _] = world.ids()
    removing = world.context(Job.RETENTION).run.id
    run = ask(world, old)
    with pytest.raises(Locked):
        desk.claim_deletion(world.ledger, removing, old, reason="old", at=world.now)
    carry_out(world, run)
    desk.claim_deletion(world.ledger, removing, other, reason="old", at=world.now)
    with pytest.raises(Conflict):
        ask(world, other, key="k2")


def test_every_repository_that_holds_it(tmp_path: Path) -> None:
    """A copy in another repository is pinned too; one that is away is said, and gets the word from the next pin or a sync."""
    world = World(tmp_path)
    world.days(2)
    with world.ledger.transaction() as tx:
        people.set_team(tx, TEAM)
    shutil.copytree(tmp_path / "repository", tmp_path / "second")
    text = world.path.read_text("utf-8")
    world.path.write_text(
        text.replace("[encryption]", f'[repositories.second]\nurl = "file://{tmp_path}/second"\n[encryption]'), "utf-8"
    )
    from bot.config import load

    world.config, _ = load(world.path)
    world.now = day(2)
    renew_catalogue(world.config, world.ledger, NAME)
    [old, _] = world.ids()
    run = ask(world, old)
    (tmp_path / "second").rename(tmp_path / "unmounted")
    result = carry_out(world, run)
    assert list(result["away"]) == ["second"]
    assert pinned(world, old)
    (tmp_path / "repository").rename(tmp_path / "gone")
    nowhere = ask(world, old, key="k3")
    with pytest.raises((Unavailable, Usage)):
        carry_out(world, nowhere)
    desk.fail_run(world.ledger, nowhere.id, {"message": "away"}, world.now)
    (tmp_path / "gone").rename(tmp_path / "repository")
    (tmp_path / "unmounted").rename(tmp_path / "second")
    assert carry_out(world, ask(world, old, key="k2"))["repositories"] == ["local", "second"]
    assert list((tmp_path / "second").rglob("*-pinned"))


READINGS: list[tuple[str, Callable[[], Pin] | None]] = [
    ("pin 20261122T020000Z-base-7f3a", lambda: Pin(BackupId("20261122T020000Z-base-7f3a"), pinned=True)),
    ("unpin 20261122T020000Z-dump-7f3a", lambda: Pin(BackupId("20261122T020000Z-dump-7f3a"), pinned=False)),
    ("pin", None),
    ("pin slips", None),
    ("pin 20261122T020000Z-base-7f3a now", None),
]


@pytest.mark.parametrize(("typed", "read"), READINGS)
def test_what_is_typed(typed: str, read: Callable[[], Pin] | None) -> None:
    """A pin takes exactly one backup's id."""
    if read is not None:
        assert parse_backup(typed, clusters=["slips"]) == read()
        return
    with pytest.raises(Usage):
        parse_backup(typed, clusters=["slips"])

"""Which repositories are away, as a quick look tells: folders are looked at, clouds as the newest sync left them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Event

from bot import desk
from bot.metrics import PitstopCollector
from bot.model.runs import Job
from bot.process.place import Place
from bot.slack.cards.keeping import sync_result
from jobs.away import asked, away
from jobs.monitor import Monitor
from tests.unit.repository.sample import NAME
from tests.unit.retention_world import World, day


def told(world: World) -> dict[str, str]:
    """Return who is away."""
    return away(world.config, world.ledger, [NAME])[NAME]


def test_folders(tmp_path: Path) -> None:
    """One that was never used is not away; one that was is, where its folder is gone, is a file, or is an empty mount point."""
    world = World(tmp_path, f'[repositories.offsite]\nurl = "file://{tmp_path}/offsite"\n')
    world.days(2)
    assert told(world) == {}
    world.now = day(2)
    assert world.run(Job.SYNC)["ok"]
    assert told(world) == {}
    folder = tmp_path / "offsite"
    folder.rename(tmp_path / "unmounted")
    assert told(world) == {"offsite": f"its folder {folder} is not there"}
    folder.mkdir()
    assert told(world) == {"offsite": f"its folder {folder} holds no data keys"}


def test_no_transaction_is_open_while_folders_are_looked_at(tmp_path: Path) -> None:
    """What a dead mount keeps waiting keeps no state of the ledger alive: its journal can be folded in meanwhile."""
    world = World(tmp_path)
    world.days(1)
    world.now = day(1)
    world.run(Job.SYNC)
    folded = []

    def look(folder: Path) -> str:
        with sqlite3.connect(world.ledger.path, isolation_level=None) as connection:
            connection.execute("UPDATE settings SET value = value")
            folded.append(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
        connection.close()
        return "slow"

    assert away(world.config, world.ledger, [NAME, NAME], look) == {NAME: {"local": "slow"}}
    assert folded == [True]


def test_one_that_does_not_answer(tmp_path: Path) -> None:
    """A folder on a dead mount is not waited for any longer than said."""
    came_back = Event()
    assert asked(tmp_path, look=lambda _: str(came_back.wait(60)), within_s=0.05).endswith("does not answer")
    came_back.set()


def test_clouds(tmp_path: Path) -> None:
    """A cloud is away where the newest sync could not look at it, since then; nothing is asked now."""
    world = World(tmp_path, '[repositories.cloud]\nurl = "s3://nowhere/at-all"\n')
    assert told(world) == {}
    for number, (is_away, expected) in enumerate(
        ((True, {"cloud": "Nobody answers (the sync of 2026-01-02 02:00:00 UTC)"}), (False, {}))
    ):
        row = {"repository": "cloud", "problem": "Nobody answers.", "away": is_away}
        run = desk.start_run(world.ledger, world.queue(Job.SYNC).id, day(number))
        desk.finish_run(world.ledger, run.id, {"repositories": [row]}, day(number + 1))
        assert told(world) == expected
        world.now = day(number + 1)


def test_the_monitor_sees_it(tmp_path: Path) -> None:
    """A round says which repositories that were used are there, for the metrics, and which are away, for the status card."""
    world = World(tmp_path, f'[repositories.offsite]\nurl = "file://{tmp_path}/offsite"\n')
    monitor = Monitor(world.config, world.ledger, lambda: world.now)
    place = Place(world.config, world.path, world.ledger, now=lambda: world.now)

    def round_of() -> tuple[dict[str, str], dict[str, float]]:
        monitor.look()
        families = list(PitstopCollector(place, lambda: monitor.sight).collect())
        [up] = [family for family in families if family.name == "pitstop_repository_up"]
        return monitor.away(NAME), {one.labels["repository"]: one.value for one in up.samples}

    assert monitor.away(NAME) == {}
    assert round_of() == ({}, {})
    world.days(1)
    world.now = day(1)
    world.run(Job.SYNC)
    assert round_of() == ({}, {"local": 1, "offsite": 1})
    (tmp_path / "offsite").rename(tmp_path / "unmounted")
    gone = {"offsite": f"its folder {tmp_path / 'offsite'} is not there"}
    assert round_of() == (gone, {"local": 1, "offsite": 0})


def test_a_sync_s_card(tmp_path: Path) -> None:
    """Its card does not say that nothing was copied to one that is away, but why."""
    world = World(tmp_path, f'[repositories.offsite]\nurl = "file://{tmp_path}/offsite"\n')
    world.days(2)
    world.now = day(2)
    assert world.run(Job.SYNC)["ok"]
    (tmp_path / "offsite").rename(tmp_path / "unmounted")
    lines = sync_result(world.run(Job.SYNC))
    assert lines[0].startswith("• `local`: 0 backups")
    assert [line[:11] for line in lines[1:]] == ["⚠️ offsite:"]

"""Which copy a recovery reads from: the nearest that is sound and whose WAL reaches the target, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.model.ids import BackupId
from bot.model.runs import Job
from bot.model.targets import ResolvedTarget
from bot.model.wal import Lsn
from bot.postgres.resolve import Resolution
from bot.repository.events import COPY_DAMAGED
from jobs.plan.holdings import Holdings, open_holdings
from jobs.plan.make import nearest
from tests.unit.repository.sample import NAME, SEGMENT_BYTES
from tests.unit.retention_world import Two, day


@pytest.fixture
def world(tmp_path: Path) -> Two:
    """A backup with its WAL in both repositories."""
    made = Two(tmp_path)
    made.days(1)
    made.now = day(0.5)
    made.run(Job.SYNC)
    return made


def chosen(world: Two, until: int) -> tuple[str, Holdings, BackupId]:
    """Return where the backup is read from for a target in a segment."""
    holdings = open_holdings(world.config, world.ledger, NAME)
    [backup] = holdings.backups
    target = ResolvedTarget(1, Lsn(until * SEGMENT_BYTES + 100), record_exists=True)
    found = nearest(holdings, Resolution(target, backup))
    return found.places[backup.id].repository.name, found, backup.id


def test_the_first_that_holds_everything(world: Two) -> None:
    """The order of the configuration, unless its WAL ends before the target and another one's does not."""
    assert chosen(world, 1)[0] == "local"
    world.at("offsite").wal.put_segment(1, 2, bytes(SEGMENT_BYTES))
    assert chosen(world, 1)[0] == "local"
    assert chosen(world, 2)[0] == "offsite"
    assert chosen(world, 9)[0] == "local", "nobody has it all, and WAL is read from everywhere"


def test_a_damaged_copy_is_passed_over(world: Two) -> None:
    """With a word about it; where all are damaged the first is what is there."""
    [backup] = world.ids()
    world.cluster.record_event(backup, COPY_DAMAGED, at=world.now, text="a bit is wrong")
    name, holdings, _ = chosen(world, 1)
    assert name == "offsite"
    assert holdings.passed_over(backup) == ("The copy in local is passed over: a bit is wrong",)
    world.at("offsite").record_event(backup, COPY_DAMAGED, at=world.now, text="here too")
    name, holdings, _ = chosen(world, 1)
    assert name == "local"
    assert holdings.passed_over(backup) == ()


def test_one_that_is_away_is_said(world: Two) -> None:
    """The other one is used, and the plan's warnings name the one that did not answer."""
    world.folder("local").rename(world.home / "away")
    name, holdings, backup = chosen(world, 1)
    assert name == "offsite"
    assert "local" in holdings.away[0]
    assert holdings.passed_over(backup) == ()

"""What a lost executor left is cleared away by a run of its own, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import desk
from bot.model.requests import Request
from bot.model.runs import Job, RunState
from tests.unit.desk_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A desk and its people."""
    return World.at(tmp_path)


def clear_away(world: World, request: Request) -> RunState | None:
    """Clear away after a request; return the state of the run that does it."""
    run = desk.clear_away(world.ledger, request.id, world.now, world.entropy())
    assert run is None or (run.job, run.args) == (Job.SERVER_REMOVE, {"server": request.id})
    return run.state if run else None


def test_it_is_queued_once_while_it_waits(world: World) -> None:
    """A second look while the removal waits queues no other, also when no server was ever registered."""
    request = world.proposed()
    assert clear_away(world, request) is RunState.QUEUED
    assert clear_away(world, request) is None


def test_without_a_plan_there_is_nothing_to_clear(world: World) -> None:
    """A request that never got a plan has no directory."""
    assert clear_away(world, world.ask()) is None

"""Kept databases at the desk: recorded once, kept longer or removed by those who may, announced a day before they go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bot import desk
from bot.errors import Conflict, Refused, Usage
from bot.ledger import cards, kept
from bot.model.ids import RequestId
from bot.model.kept import Kept, KeptState
from bot.model.people import Person
from bot.model.runs import Job, Run, RunState
from bot.model.swaps import Swap, SwapStep
from tests.unit.desk_world import ALICE, BOB, CAROL, World, new_world

WEEK = timedelta(days=7)


@pytest.fixture
def world() -> Iterator[World]:
    """Return a world of its own for each test."""
    with new_world() as made:
        yield made


def replaced(world: World, oid: int = 5, incoming: int = 6) -> Kept:
    """Have a request of Alice's replace a database."""
    request, run = world.running()
    swap = Swap(request.id, "shop", oid, f"shop_coming_{request.id}", incoming, f"shop_before_{request.id}")
    desk.journal_swap(world.ledger, request.id, SwapStep.SWAP, swap, world.now)
    made = desk.keep_database(world.ledger, request_id=request.id, swap=swap, size_bytes=7, at=world.now, keep_for=WEEK)
    desk.verifying(world.ledger, request.id, world.now)
    desk.succeed(world.ledger, request.id, {}, world.now)
    desk.finish_run(world.ledger, run.id, {}, world.now)
    return made


def extend(world: World, request: RequestId, by: Person = ALICE, **how: Any) -> Kept:
    """Keep a database a week longer."""
    extension = how.pop("extension", WEEK)
    return desk.extend_kept(world.ledger, world.caller(by, **how), request, extension=extension)


def remove(world: World, request: RequestId, by: Person = ALICE) -> Run:
    """Ask for a kept database's removal."""
    return desk.remove_kept(world.ledger, world.caller(by), request)


def sweep(world: World) -> list[Run]:
    """Let time do its work."""
    return desk.sweep_kept(world.ledger, world.now, world.entropy())


def row(world: World, request: RequestId) -> Kept:
    """Read it again."""
    with world.ledger.read() as tx:
        return kept.get(tx, request)


def test_a_journal_is_read_back_step_by_step(world: World) -> None:
    """The last step that was begun is known, with the swap from the moment it was known; every step is in the audit."""
    request, _ = world.running()
    swap = Swap(request.id, "shop", 5, "coming", 6, "before")
    for step, known in ((SwapStep.RESTORE, None), (SwapStep.STOP, swap), (SwapStep.SWAP, None)):
        desk.journal_swap(world.ledger, request.id, step, known, world.now)
    with world.ledger.read() as tx:
        assert kept.journalled(tx, request.id) == (SwapStep.SWAP, swap)
        assert kept.journalled(tx, RequestId("other")) is None
    assert [action for action in world.audited() if action.startswith("swap.")] == [
        "swap.restore",
        "swap.stop",
        "swap.swap",
    ]


def test_what_was_replaced_is_recorded_once(world: World) -> None:
    """A resumed executor records the same again and changes nothing."""
    made = replaced(world)
    swap = Swap(made.id, "other", 1, "x", 2, "y")
    again = desk.keep_database(
        world.ledger, request_id=made.id, swap=swap, size_bytes=0, at=world.now, keep_for=timedelta(days=1)
    )
    assert again == made
    assert (made.state, made.remove_at - made.kept_at) == (KeptState.KEPT, WEEK)


def test_the_database_that_comes_back_is_kept_no_longer(world: World) -> None:
    """An undo swaps the other way: what it brings back is in service, and what it takes away is kept in its place."""
    first = replaced(world, oid=5, incoming=6)
    second = replaced(world, oid=6, incoming=5)
    assert row(world, first.id).state is KeptState.BACK
    assert row(world, second.id).state is KeptState.KEPT
    with pytest.raises(Conflict):
        remove(world, first.id)


def test_only_those_who_may_look_after_it(world: World) -> None:
    """Its requester and approvers keep it longer or remove it; others do not, and nobody for ever."""
    made = replaced(world)
    assert extend(world, made.id, CAROL).remove_at == made.remove_at + WEEK
    with pytest.raises(Refused):
        extend(world, made.id, BOB)
    with pytest.raises(Refused):
        remove(world, made.id, BOB)
    with pytest.raises(Usage):
        extend(world, made.id, extension=timedelta(days=91))
    run = remove(world, made.id)
    assert (run.job, run.args) == (Job.KEPT_REMOVE, {"database": made.name, "oid": made.oid})
    with pytest.raises(Conflict):
        remove(world, made.id)


def test_a_removal_is_announced_a_day_before(world: World) -> None:
    """Nothing goes unannounced: the card comes a day before, the removal after it, and a kept week later both again."""
    made = replaced(world)
    assert sweep(world) == []
    world.now = made.remove_at - timedelta(hours=23)
    assert sweep(world) == []
    with world.ledger.read() as tx:
        assert [card.place for card in cards.of_subject(tx, "kept", made.id)] == ["results"]
    extend(world, made.id)
    world.now += timedelta(days=1, hours=1)
    assert sweep(world) == []
    world.now = row(world, made.id).remove_at - timedelta(hours=1)
    assert sweep(world) == []
    world.now = row(world, made.id).remove_at
    [run] = sweep(world)
    assert sweep(world) == []
    desk.start_run(world.ledger, run.id, world.now)
    desk.kept_removed(world.ledger, made.id, world.now)
    desk.finish_run(world.ledger, run.id, {}, world.now)
    assert row(world, made.id).state is KeptState.REMOVED
    assert sweep(world) == []


def test_a_bot_that_was_away_still_announces_a_day_before(world: World) -> None:
    """When nobody ran for a month, the database gets its day of notice all the same."""
    made = replaced(world)
    world.now = made.remove_at + timedelta(days=30)
    assert sweep(world) == []
    assert row(world, made.id).remove_at == world.now + timedelta(days=1)


def test_a_removal_that_failed_is_tried_again_a_day_later(world: World) -> None:
    """Somebody was connected: the run fails, the database stays, and the next day tries again."""
    made = replaced(world)
    world.now = made.remove_at - timedelta(days=1)
    sweep(world)
    world.now = made.remove_at
    [run] = sweep(world)
    desk.start_run(world.ledger, run.id, world.now)
    failed = desk.fail_run(world.ledger, run.id, {"code": "x", "message": "in use", "hint": ""}, world.now)
    assert failed.state is RunState.FAILED
    world.later(hours=1)
    assert sweep(world) == []
    world.later(hours=24)
    assert len(sweep(world)) == 1

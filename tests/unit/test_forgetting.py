"""What only guarded against repetitions is forgotten, and nothing that could still be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot import desk
from bot.config import Config
from bot.ledger import inbox, modal_tokens
from bot.ledger.database import iso
from bot.model.requests import State
from bot.process.place import Place
from bot.process.supervisor import Supervisor
from tests.unit.desk_world import CAROL, NOON, World, new_world


@pytest.fixture
def world() -> Iterator[World]:
    """A ledger with a clock that only moves when told."""
    with new_world() as made:
        yield made


def rows(world: World) -> dict[str, int]:
    """Count what is kept against repetitions."""
    with world.ledger.read() as tx:
        tables = ("keys_seen", "inbox", "modal_tokens")
        return {table: next(tx.query(f"SELECT count(*) AS n FROM {table}"))["n"] for table in tables}


def put(world: World, key: str, *, done: bool) -> None:
    """Record a click, and say that it was carried out."""
    with world.ledger.transaction() as tx:
        inbox.put(tx, key, "approve", {}, world.now)
        if done:
            inbox.done(tx, inbox.open(tx)[-1].id, {}, world.now)


def test_a_week_later_keys_clicks_and_tokens_are_gone(world: World) -> None:
    """Every call answers the same for seven days, also when it is forgotten in between; after that only the audit knows it."""
    request = world.pending()
    world.approve(request.id, key="click")
    put(world, "click", done=True)
    with world.ledger.transaction() as tx:
        modal_tokens.issue(tx, "t", person=CAROL, purpose="ask", request=None, expires_at=world.now)
    before = rows(world)
    world.later(days=7)
    assert desk.forget(world.ledger, world.now) == 0
    assert rows(world) == before
    assert world.approve(request.id, key="click").state is State.APPROVED
    world.later(seconds=1)
    assert desk.forget(world.ledger, world.now) == sum(before.values())
    assert set(rows(world).values()) == {0}
    assert world.audited().count("request.approve") == 1


def test_what_an_open_click_did_is_not_forgotten(world: World) -> None:
    """A bot that died between the verb and the note that it was done, and came back after a month, does not ask twice."""
    world.ask(key="older")
    world.later(minutes=1)
    put(world, "click", done=False)
    request = world.ask(key="click")
    world.later(days=30)
    assert desk.forget(world.ledger, world.now) == 1
    assert world.ask(key="click").id == request.id
    assert (rows(world)["keys_seen"], rows(world)["inbox"]) == (1, 1)


def test_the_leader_forgets_once_an_hour(world: World) -> None:
    """The supervisor's first round forgets, so that a bot that restarts often does too; then one round in each hour."""
    config = Config.model_construct(ledger=world.ledger.path, clusters={}, people={})  # nothing to spawn
    place = Place(config, Path("/none"), world.ledger, now=lambda: world.now)
    supervisor, kept = Supervisor(place), []
    for minutes in (0, 59, 1):
        world.later(minutes=minutes)
        put(world, f"{minutes}", done=True)
        with world.ledger.transaction() as tx:
            tx.execute("UPDATE inbox SET done_at = ?", [iso(NOON - timedelta(days=8))])
        supervisor.look_after_all()
        kept.append(rows(world)["inbox"])
    assert kept == [0, 1, 0]

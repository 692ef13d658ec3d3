"""Servers beside at the desk: registered once, looked after by those who may, ended by their lifetime, told on their cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from bot import desk
from bot.errors import Conflict, PitstopError, Refused, Usage
from bot.ledger import cards, runs, servers
from bot.model.ids import RequestId
from bot.model.people import Person
from bot.model.runs import Job, Run, RunState
from bot.model.servers import Server, ServerState
from tests.unit.desk_world import ALICE, BOB, CAROL, GUEST, ROOT, SLIPS, STRANGER, World, facts, new_world

Word = Callable[..., Any]


@pytest.fixture
def world() -> Iterator[World]:
    """Return a world of its own for each test."""
    with new_world() as made:
        yield made


def beside(world: World) -> Server:
    """Start a server beside for a request of Alice's that succeeds."""
    request, run = world.running()
    server = desk.register_server(
        world.ledger, request_id=request.id, dsn="host=/x", size_bytes=5, detail={"port": 1}, at=world.now
    )
    desk.verifying(world.ledger, request.id, world.now)
    desk.succeed(world.ledger, request.id, {}, world.now)
    desk.finish_run(world.ledger, run.id, {}, world.now)
    return server


def extend(world: World, server: RequestId, by: Person = ALICE, **how: Any) -> Server:
    """Let a server live a day longer."""
    extension = how.pop("extension", timedelta(days=1))
    return desk.extend_server(world.ledger, world.caller(by, **how), server, extension=extension)


def stop(world: World, server: RequestId, by: Person = ALICE, **how: Any) -> Run:
    """Ask for a server's stop."""
    return desk.stop_server(world.ledger, world.caller(by, **how), server)


def remove(world: World, server: RequestId, by: Person = ALICE, **how: Any) -> Run:
    """Ask for a server's removal."""
    return desk.remove_server(world.ledger, world.caller(by, **how), server)


def end(world: World, run: Run) -> None:
    """Carry a run out."""
    desk.start_run(world.ledger, run.id, world.now)
    desk.finish_run(world.ledger, run.id, {}, world.now)


def state(world: World, server: RequestId) -> ServerState:
    """Return where a server stands."""
    with world.ledger.read() as tx:
        return servers.get(tx, server).state


def test_a_server_comes_from_its_plan_and_is_registered_once(world: World) -> None:
    """Folder, owner and lifetime are the plan's; a resumed executor that registers it again changes what may change."""
    server = beside(world)
    assert (server.owner, server.directory) == (ALICE, f"/restores/{server.id}")
    assert server.expires_at == server.started_at + timedelta(days=1)
    again = desk.register_server(
        world.ledger, request_id=server.id, dsn="host=/y", size_bytes=9, detail={}, at=world.now
    )
    assert (again.dsn, again.size_bytes, again.version) == ("host=/y", 9, 2)
    assert (again.expires_at, again.started_at) == (server.expires_at, server.started_at)
    with pytest.raises(Conflict, match="no plan"):
        desk.register_server(world.ledger, request_id=world.ask().id, dsn="", size_bytes=0, detail={}, at=world.now)


def test_the_life_of_a_server(world: World) -> None:
    """Extended from its present end, stopped and removed by runs; each step is audited and makes its cards out of date."""
    server = beside(world)
    with world.ledger.read() as tx:
        (card,) = cards.of_subject(tx, "server", server.id)
    assert card.place == f"thread:request:{server.id}"
    assert extend(world, server.id).expires_at == server.expires_at + timedelta(days=1)
    end(world, stop(world, server.id))
    desk.server_stopped(world.ledger, server.id, world.now)
    end(world, remove(world, server.id))
    desk.server_removed(world.ledger, server.id, world.now)
    assert state(world, server.id) is ServerState.REMOVED
    told = [action for action in world.audited() if action.startswith("server.")]
    assert told == ["server.start", "server.extend", "server.stopped", "server.removed"]
    with world.ledger.read() as tx:
        assert cards.of_subject(tx, "server", server.id)[0].wanted == card.wanted + 3
        assert servers.list(tx) == []
        assert [known.id for known in servers.list(tx, removed=True)] == [server.id]


def test_what_ended_does_not_come_back(world: World) -> None:
    """A stopped server is neither extended nor stopped again, a removed one not even removed; hearing it twice changes nothing."""
    server = beside(world)
    for _ in range(2):
        assert desk.server_stopped(world.ledger, server.id, world.now).version == 2
    for word, code in ((extend, "server-not-running"), (stop, "server-not-running")):
        with pytest.raises(Conflict) as caught:
            word(world, server.id)
        assert caught.value.reason_code == code
    desk.server_removed(world.ledger, server.id, world.now)
    assert desk.server_stopped(world.ledger, server.id, world.now).state is ServerState.REMOVED
    with pytest.raises(Conflict, match="removed before"):
        remove(world, server.id)


@pytest.mark.parametrize("word", [extend, stop, remove])
@pytest.mark.parametrize(
    ("by", "code"), [(BOB, "not-approver"), (GUEST, "guest"), (STRANGER, "other-team"), (CAROL, ""), (ROOT, "")]
)
def test_who_may_look_after_a_server(world: World, word: Word, by: Person, code: str) -> None:
    """Owner, approvers and the host may; bystanders, guests and strangers may not, and the attempt is in the audit."""
    server = beside(world)
    known = None if by.on_host else facts(by, world.now, guest=by is GUEST)
    if not code:
        word(world, server.id, by, facts=known)
        return
    with pytest.raises(Refused) as caught:
        word(world, server.id, by, facts=known)
    assert caught.value.reason_code == code
    assert world.audited()[-1].endswith(".refused")
    assert state(world, server.id) is ServerState.RUNNING


@pytest.mark.parametrize("extension", [timedelta(0), timedelta(days=-1), timedelta(days=8)])
def test_an_extension_has_its_bounds(world: World, extension: timedelta) -> None:
    """Nothing, less than nothing and more than a week are refused with what can be said instead."""
    server = beside(world)
    with pytest.raises(Usage, match="7 days"):
        extend(world, server.id, extension=extension)


@pytest.mark.parametrize("word", [extend, stop, remove])
def test_a_word_delivered_twice_is_one(world: World, word: Word) -> None:
    """The same key answers the same and leaves one entry; with another key a second stop or removal has to wait."""
    server = beside(world)
    first = word(world, server.id, key="k")
    told = len(world.audited())
    assert word(world, server.id, key="k").id == first.id
    assert len(world.audited()) == told
    if word is not extend:
        with pytest.raises(PitstopError) as caught:
            word(world, server.id)
        assert caught.value.reason_code == "locked"
        assert caught.value.message.startswith("Nothing was queued: a ")
        assert "cannot begin before another one" in caught.value.message


def test_what_stands_in_the_way_is_named_in_words(world: World) -> None:
    """A second base backup is told that nothing was queued, what runs, and what to do then."""
    first = desk.queue_run(
        world.ledger, job=Job.BASE_BACKUP, cluster=SLIPS, args={}, by="host:root", at=world.now, entropy=world.entropy()
    )
    with pytest.raises(PitstopError) as caught:
        desk.queue_run(
            world.ledger, job=Job.BASE_BACKUP, cluster=SLIPS, args={}, by="host:root", at=world.now, entropy=b"other"
        )
    said = f"Nothing was queued: a base backup of slips cannot begin before another one ({first.id}) has ended."
    assert caught.value.message == said
    assert caught.value.hint == "Ask again when it has; `pitstop status slips` shows how far it is."


def test_a_lifetime_that_is_over_queues_one_stop(world: World) -> None:
    """The sweep stops what lapsed, once, also after a long sleep; a server extended in time goes on."""
    one, other = beside(world), beside(world)
    extend(world, other.id)
    world.later(hours=24, seconds=1)
    (queued,) = desk.sweep_servers(world.ledger, world.now, world.entropy())
    assert (queued.job, queued.request, queued.queued_by) == (Job.SERVER_STOP, one.id, "pitstop")
    assert desk.sweep_servers(world.ledger, world.now, world.entropy()) == []
    desk.start_run(world.ledger, queued.id, world.now)
    desk.fail_run(world.ledger, queued.id, {"code": "x", "message": "no"}, world.now)
    assert len(desk.sweep_servers(world.ledger, world.now, world.entropy())) == 1
    with world.ledger.read() as tx:
        assert [run.request for run in runs.recent(tx, cluster=SLIPS, states=(RunState.QUEUED,))] == [one.id]

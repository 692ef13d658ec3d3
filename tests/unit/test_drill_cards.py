"""Drills in Slack: asked for by those who may, shown by exact ids, with the checklist in the thread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot import desk
from bot.errors import Conflict, Refused, Usage
from bot.ledger import cards, catalogue, runs
from bot.ledger.cards import Card
from bot.model.ids import ClusterName
from bot.model.people import Person
from bot.model.runs import Job, Run, RunState
from bot.slack.cards import drill_checklist, run_card
from bot.slack.subjects import parent_of
from tests.unit.card_rows import EVIL, Rows
from tests.unit.desk_world import ALICE, NOON, World
from tests.unit.test_cards import assert_fit

CLUSTER = "slips"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A ledger that knows its workspace."""
    return World.at(tmp_path)


def verify(world: World, backup: str | None = None, by: Person = ALICE, **how: Any) -> Run:
    """Ask for a drill."""
    return desk.verify(world.ledger, world.caller(by, **how), ClusterName(CLUSTER), backup=backup)


def test_a_drill_is_queued_once_and_holds_what_it_reads(world: World) -> None:
    """The same press twice is one run; a second drill waits, and nothing of the cluster is deleted meanwhile."""
    first = verify(world, key="k")
    assert verify(world, key="k").id == first.id
    assert (first.job, first.args) == (Job.DRILL, {})
    with pytest.raises(Conflict):
        verify(world)
    with world.ledger.read() as tx:
        assert [card.place for card in cards.of_subject(tx, "run", first.id)] == ["results"]


def test_an_unknown_backup_and_a_stranger_are_refused(world: World) -> None:
    """The nearest id is offered; somebody who may not ask for a recovery may not have one tried; neither queues anything."""
    backup = Rows(1).backup()
    with world.ledger.transaction() as tx:
        catalogue.add(tx, CLUSTER, "local", backup)  # type: ignore[arg-type]
    with pytest.raises(Usage) as unknown:
        verify(world, backup.id[:-1] + "0")
    assert backup.id in unknown.value.hint
    with pytest.raises(Refused):
        verify(world, by=Person("T9", "UMALLORY"))
    assert verify(world, backup.id).args == {"backup": backup.id}


def test_a_file_of_an_older_script_needs_no_list(world: World) -> None:
    """Whether there is such a file only the run can say: it is queued by its name, in whatever case."""
    assert verify(world, "Shop_full.backup.gz.enc").args == {"backup": "Shop_full.backup.gz.enc"}


def test_the_end_of_a_drill_puts_the_checklist_into_the_thread(world: World) -> None:
    """The card of the results channel is the thread's parent; a drill that proved nothing is called failed."""
    run = verify(world)
    desk.start_run(world.ledger, run.id, NOON)
    desk.finish_run(world.ledger, run.id, {"ok": False, "damaged": True, "proofs": []}, NOON)
    with world.ledger.read() as tx:
        places = {card.place: card for card in cards.of_subject(tx, "run", run.id)}
        parent = parent_of(tx, f"thread:run:{run.id}")
        ended = runs.get(tx, run.id)
    assert f"thread:run:{run.id}" in places
    assert isinstance(parent, Card)
    assert parent.place == "results"
    assert run_card(ended).text.startswith("❌ Drill of slips: failed")


@pytest.mark.parametrize("number", range(20))
def test_cards_of_drills_with_every_kind_of_text(number: int) -> None:
    """Names of tables and messages of servers may hold anything: Slack takes the card and the checklist, and both are spoken."""
    rows = Rows(number)
    points = [
        {"name": rows.text(), "ok": ok, "detail": rows.text() * 20}
        for ok in (True, False, None)
        for _ in range(number * 2)
    ]
    proof = {
        "backup": rows.text(), "kind": "base", "repository": rows.text(), "newest": (True, False, None)[number % 3],
        "verified": number % 2 == 0, "points": points, "phases": [{"name": rows.text(), "seconds": 12.5}] * number,
        "seconds": float(number), "bytes": 10**number, "wal_bytes": number,
    }  # fmt: skip
    result = {"ok": number % 2 == 0, "proofs": [proof] * (number % 4), "warnings": [*EVIL[:3]]}
    run = replace(rows.run(), job=Job.DRILL, state=RunState.SUCCEEDED, error=None, result=result)
    for message in (run_card(run), drill_checklist(run)):
        assert_fit(message)

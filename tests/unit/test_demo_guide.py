"""The demo's panel: what is done, what comes next."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from bot.demo.guide import Seen, look, panel
from bot.model.requests import State
from tests.unit.desk_world import new_world


def _done(seen: Seen) -> list[bool]:
    return [step["done"] for step in panel(seen).steps]


def test_nothing_is_done_at_first() -> None:
    """The first thing to do is a backup, by a command that the page can fill in."""
    first = panel(Seen())
    assert not any(step["done"] for step in first.steps)
    assert first.steps[0]["command"] == "/backup now slips"


def test_the_command_names_the_transaction_that_did_it() -> None:
    """Once the table is gone, the step that asks for it back names the right target."""
    assert "/pitr slips before:xid:84213" in {step.get("command") for step in panel(Seen(lost_in=84213)).steps}


@pytest.mark.parametrize(
    ("before", "after"),
    list(itertools.pairwise([None, State.PROPOSED, State.PENDING, State.APPROVED, State.RUNNING, State.SUCCEEDED])),
)
def test_a_request_that_goes_on_takes_no_step_back(before: State | None, after: State) -> None:
    """Whatever was done stays done as a request advances."""
    was, now = _done(Seen(True, 5, before)), _done(Seen(True, 5, after))
    assert all(later for earlier, later in zip(was, now, strict=True) if earlier)


def test_everything_is_done_when_the_rows_are_back() -> None:
    """A request that succeeded ends the panel and says how to look."""
    last = panel(Seen(backed_up=True, lost_in=5, request=State.SUCCEEDED))
    assert all(step["done"] for step in last.steps)
    assert last.title == "The rows are back"


def test_a_request_made_before_the_loss_does_not_count() -> None:
    """Somebody who tried `/pitr` first has still to ask for the table, for an earlier copy has nothing to do with it."""
    with new_world() as world:
        request = world.proposed()
        assert look(world.ledger, 5, request.created_at).request is request.state
        assert look(world.ledger, 5, request.created_at + timedelta(seconds=1)).request is None


def test_nothing_is_left_to_compare_with_once_the_copy_is_removed() -> None:
    """After Stop or Remove the panel does not send people to a copy that is gone."""
    ended = panel(Seen(backed_up=True, lost_in=5, request=State.SUCCEEDED, copies=0))
    assert "Compare" not in ended.intro

"""Swaps in Slack: approved by typing the cluster's name, undone from the card, and shown with what ran around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot import desk
from bot.commands.following import waiting_text
from bot.ledger import kept, requests
from bot.model.destinations import InPlace
from bot.model.ids import RequestId, SystemId
from bot.model.requests import Request, State
from bot.model.restores import Restoration, Wanted
from bot.model.swaps import Swap
from bot.slack.cards import actions
from bot.slack.cards.result import result_lines
from tests.unit.desk_world import ALICE, BOB, CAROL, GUEST, SLIPS, plan
from tests.unit.handler_world import Office, new_office


@pytest.fixture
def office() -> Iterator[Office]:
    """Return an office of its own for each test."""
    with new_office() as opened:
        yield opened


def in_place(office: Office) -> RequestId:
    """Have Alice's restore in place wait for approval."""
    world = office.world
    asked = desk.ask(
        world.ledger, world.caller(ALICE), verb="restore", cluster=SLIPS, target=Wanted(), target_text="the newest dump",
        destination={"kind": "in-place", "database": None}, reason="bad migration",
    )  # fmt: skip
    assert asked.run is not None
    made = plan(version=world.policy.version)
    work = Restoration(SystemId("7000000000000000001"), "shop", "db-0")
    place = InPlace("shop", 5, "pitstop_restoring_x", None, "shop_before_x")
    steps = replace(made.steps, verb="restore", work=work, destination=place)
    desk.start_run(world.ledger, asked.run, world.now)
    desk.propose(world.ledger, asked.id, replace(made, steps=steps), world.now)
    desk.finish_run(world.ledger, asked.run, {}, world.now)
    world.confirm(asked.id)
    office.settle()
    return asked.id


def test_in_place_is_approved_by_typing_the_name_of_the_cluster(office: Office) -> None:
    """The card has no button that approves by itself; another name is said at its input; a forged click approves nothing."""
    request = in_place(office)
    card = office.card(request, "approvals")
    assert [action for action, _ in card.buttons] == [actions.APPROVE_TYPED, actions.DENY]
    office.press_at(card.channel, card.ts, actions.APPROVE, request, CAROL)
    office.settle()
    assert office.refusals() == [("UCAROL", "cluster-not-typed")]
    office.press(card, actions.APPROVE_TYPED, CAROL)
    office.settle()
    token = form(office)["private_metadata"]
    answer = office.submit(actions.APPROVE_FORM, token, CAROL, typed="slipz")
    assert '"typed"' in answer.body
    office.settle()
    assert office.world.state(request) is State.PENDING
    office.submit(actions.APPROVE_FORM, token, CAROL, typed="slips")
    office.settle()
    assert office.world.state(request) is State.APPROVED


def test_undo_on_the_card_asks_for_the_old_database(office: Office) -> None:
    """The result of a restore in place offers Undo; pressing it is a request of who pressed, planned and approved like any."""
    world = office.world
    request = in_place(office)
    with world.ledger.transaction() as tx:
        tx.execute("UPDATE requests SET state = 'verifying' WHERE id = ?", [request])
    swap = Swap(request, "shop", 5, "pitstop_restoring_x", 6, "shop_before_x")
    desk.keep_database(
        world.ledger, request_id=request, swap=swap, size_bytes=7, at=world.now, keep_for=timedelta(days=7)
    )
    desk.succeed(
        world.ledger, request, {"database": "shop", "kept": "shop_before_x", "backup": "b", "checks": []}, world.now
    )
    office.settle()
    card = office.card(request, "approvals")
    assert [action for action, _ in card.buttons] == [actions.UNDO, actions.KEPT_EXTEND, actions.KEPT_REMOVE]
    office.press(card, actions.UNDO, GUEST)
    office.press(card, actions.KEPT_REMOVE, BOB)
    office.settle()
    assert office.refusals() == [("UGUEST", "guest"), ("UBOB", "not-approver")]
    office.press(card, actions.UNDO, BOB)
    office.settle()
    with world.ledger.read() as tx:
        [undo] = [one for one in requests.recent(tx) if one.verb == "undo"]
    assert (undo.requester, undo.target, undo.state) == (BOB, Wanted(request, "shop"), State.PLANNING)
    office.press(card, actions.KEPT_EXTEND, CAROL)
    office.settle()
    with world.ledger.read() as tx:
        assert kept.get(tx, request).remove_at == world.now + timedelta(days=14)
    world.cancel(undo.id, BOB)
    office.settle()
    assert office.card(undo.id, "dm:UBOB").buttons == []


def test_what_ran_is_shown_as_text_that_mentions_nobody() -> None:
    """Output of commands and logs is escaped, cut to its end, and cannot break out of its block."""
    log = "\n".join(["first", *["x"] * 40, "<!channel> ```*bold*``` & <@U1>"])
    result = {
        "database": "shop",
        "kept": "shop_before_r1",
        "backup": "b",
        "sessions_ended": 3,
        "door_s": 0.21,
        "checks": [{"name": "the application is well", "ok": False, "detail": "HTTP 503"}],
        "hooks": [{"command": "/bin/x <!here>", "ok": False, "trouble": "It ended with exit code 5.", "output": log}],
        "logs": [{"name": "application", "text": log}],
    }
    text = "\n".join(result_lines(result))
    assert "3 sessions ended" in text
    assert "exit code 5" in text
    assert "HTTP 503" in text
    assert "<!" not in text
    assert "<@" not in text
    assert "first" not in text
    assert text.count("```") == 4


def asked(office: Office) -> list[tuple[Wanted, object, str]]:
    """Return what every request asks for, where to, and why."""
    with office.world.ledger.read() as tx:
        return [
            (one.target, one.destination, one.reason) for one in requests.recent(tx) if isinstance(one.target, Wanted)
        ]


def form(office: Office) -> dict[str, Any]:
    """Return the form that was opened last."""
    view: dict[str, Any] = office.slack.called("views.update")[-1]["view"]
    return view


def filled(office: Office) -> dict[str, Any]:
    """Return what the inputs of the form that was opened last begin with."""
    blocks = form(office)["blocks"]
    inputs = {one["block_id"]: one["element"] for one in blocks if one["type"] == "input"}
    chosen = {block: element.get("initial_option", {}).get("value") for block, element in inputs.items()}
    return {block: chosen[block] or element.get("initial_value") for block, element in inputs.items()}


def test_the_terminal_says_how_a_request_is_approved(office: Office) -> None:
    """By whom, until when, with what typed, and that nothing is lost by leaving; Slack is named only where it is configured."""
    request = request_of(office, in_place(office))
    said = waiting_text(request, ("carol",), slack=True)
    assert "by carol until 2026-11-22 12:30:00 UTC" in said
    assert f"`pitstop request approve {request.id} --type-cluster NAME`, or the buttons in Slack" in said
    assert "the request goes on" in said
    alone = waiting_text(request, (), slack=False)
    assert alone.startswith("Nobody could approve this")
    assert "buttons" not in alone
    assert "--type-cluster" not in waiting_text(
        office.world.pending(version=office.world.policy.version), (), slack=False
    )


def request_of(office: Office, request_id: RequestId) -> Request:
    """Return a request as the ledger has it."""
    with office.world.ledger.read() as tx:
        return requests.get(tx, request_id)


def test_in_place_is_asked_for_by_typing_it(office: Office) -> None:
    """`/restore … in place` is a request for the place of the live database; a part of one is refused, and nothing is asked."""
    office.command("slips latest in place database shop tables orders", ALICE, "/restore")
    office.settle()
    assert office.refusals() == [("UALICE", "in-place-whole")]
    assert asked(office) == []
    office.command("slips latest in place database shop reason: bad migration", ALICE, "/restore")
    office.settle()
    assert asked(office) == [(Wanted(database="shop"), {"kind": "in-place", "database": None}, "bad migration")]


def test_in_place_is_chosen_in_the_form(office: Office) -> None:
    """The form begins beside; in place takes no name and no part, said at the input, and beside still wants its name."""
    office.command("slips", ALICE, "/restore")
    office.settle()
    assert filled(office)["where"] == "beside"
    token = form(office)["private_metadata"]
    given = {"cluster": "slips", "backup": "latest", "database": "shop", "reason": "bad migration"}
    for wrong, block in (
        ({"where": "beside"}, "into"),
        ({"where": "in-place", "into": "monday"}, "into"),
        ({"where": "in-place", "part": "schema-only"}, "part"),
    ):
        answer = office.submit(actions.RESTORE_FORM, token, ALICE, **given, **wrong)
        assert f'"errors": {{"{block}":' in answer.body, answer.body
    office.settle()
    assert asked(office) == []
    office.submit(actions.RESTORE_FORM, token, ALICE, **given, where="in-place")
    office.settle()
    assert asked(office) == [(Wanted(database="shop"), {"kind": "in-place", "database": None}, "bad migration")]


def test_asking_again_stays_in_place(office: Office) -> None:
    """A denied restore in place opens the form filled in like it: in place, without a name."""
    request = in_place(office)
    office.world.deny(request)
    office.settle()
    office.press(office.card(request, "dm:UALICE"), actions.ASK_AGAIN, ALICE)
    office.settle()
    begun = filled(office)
    assert (begun["where"], begun["into"], begun["cluster"]) == ("in-place", None, "slips")
    assert (begun["backup"], begun["reason"]) == ("latest", "why")

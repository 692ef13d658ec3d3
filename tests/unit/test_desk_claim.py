"""The claim: everything an approval stood on is checked again, and only one executor gets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bot import desk
from bot.errors import Conflict, PitstopError, Refused
from bot.ledger import audit, people, requests
from bot.model.ids import RequestId
from bot.model.requests import Request, State
from bot.model.runs import Run
from tests.unit.desk_world import ALICE, CAROL, DAN, GROUP, World, facts, group, new_world, policy


@pytest.fixture
def world() -> Iterator[World]:
    """A ledger with a clock that only moves when told."""
    with new_world() as made:
        yield made


def ready(world: World) -> tuple[Request, Run]:
    """Return an approved request, its started run, and fresh facts."""
    request = world.approved()
    run = world.execute_run(request.id)
    world.refresh(ALICE, CAROL, DAN)
    return request, run


def last_detail(world: World, request: RequestId) -> dict[str, object]:
    """Return the detail of a request's last audit entry."""
    with world.ledger.read() as tx:
        entries = list(audit.entries(tx, subject=request))
    return {"action": entries[-1].action, **json.loads(entries[-1].detail)}


def test_a_claim_writes_what_it_was_judged_by(world: World) -> None:
    """The audit keeps the policy's version, the ages of the facts and the members of groups that were used."""
    world.policy = policy(approvers=("UCAROL", GROUP))
    request, run = ready(world)
    with world.ledger.transaction() as tx:
        people.put_group(tx, group(CAROL, DAN, at=world.now))
    claimed = world.claim(request.id, run.id)
    assert (claimed.state, claimed.run, claimed.expires_at) == (State.RUNNING, run.id, None)
    detail = last_detail(world, request.id)
    assert detail["action"] == "request.claim"
    assert detail["policy"] == "v1"
    assert detail["members"] == {GROUP: [CAROL.key]}
    assert set(detail["facts_at"]) == {ALICE.key, CAROL.key}  # type: ignore[call-overload]


def test_only_one_executor_gets_it(world: World) -> None:
    """A second claim by another run is a conflict; the first run may ask again and gets the same request."""
    request, run = ready(world)
    first = world.claim(request.id, run.id)
    assert world.claim(request.id, run.id) == first
    desk.interrupt_run(world.ledger, run.id, world.now)
    resumed = desk.resume(world.ledger, request.id, at=world.now, entropy=world.entropy())
    desk.start_run(world.ledger, resumed.id, world.now)
    assert world.claim(request.id, resumed.id).state is State.RUNNING
    with pytest.raises(Conflict, match="Carol approved this"):
        world.claim(request.id, run.id)


def test_two_executors_of_one_request_never_run_together(world: World) -> None:
    """The second run is not even queued while the first holds the request's locks."""
    request, run = ready(world)
    with pytest.raises(Conflict) as caught:
        world.execute_run(request.id)
    assert caught.value.reason_code == "locked"
    assert run.id in caught.value.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"manifests": {}}, "no longer in the repository"),
        ({"manifests": {"20261122T020000Z-base-7f3a": "cd" * 32}}, "manifest changed"),
        ({"wal_complete": False}, "no longer complete"),
        ({"disk_free": 10}, "Too little disk"),
        ({"directory_empty": False}, "not empty"),
        ({"port_free": False}, "in use"),
        ({"server_version": 170000}, "not installed"),
        ({"policy_version": "v2"}, "policy changed"),
    ],
)
def test_what_no_longer_holds_voids_the_request(world: World, changes: dict[str, object], words: str) -> None:
    """The executor's observation against the plan: any difference ends the request, saying which."""
    request, run = ready(world)
    with pytest.raises(Refused, match=words) as caught:
        world.claim(request.id, run.id, **changes)
    assert caught.value.reason_code == "void"
    assert world.state(request.id) is State.VOID
    assert last_detail(world, request.id)["action"] == "request.void"


def test_a_changed_policy_voids(world: World) -> None:
    """The configuration changed between approval and claim: the approval was for another policy."""
    request, run = ready(world)
    world.policy = policy(version="v2")
    with pytest.raises(Refused, match="policy changed"):
        world.claim(request.id, run.id)
    assert world.state(request.id) is State.VOID


@pytest.mark.parametrize("who", [ALICE, CAROL])
def test_old_facts_stop_the_claim_and_leave_it_approved(world: World, who: object) -> None:
    """Facts older than a minute decide nothing; after a refresh the same request can be claimed."""
    request, run = ready(world)
    world.later(seconds=61)
    world.refresh(CAROL if who == ALICE else ALICE)
    with pytest.raises(Refused) as caught:
        world.claim(request.id, run.id)
    assert caught.value.reason_code == "facts-stale"
    assert world.state(request.id) is State.APPROVED
    assert last_detail(world, request.id)["action"] == "request.claim.refused"
    world.refresh(ALICE, CAROL)
    assert world.claim(request.id, run.id).state is State.RUNNING


@pytest.mark.parametrize(("who", "words"), [(CAROL, "UCAROL may not approve"), (ALICE, "UALICE may not ask")])
def test_a_right_lost_since_voids(world: World, who: object, words: str) -> None:
    """The approver or the requester was deactivated after the approval: nothing is restored in their name."""
    request, run = ready(world)
    with world.ledger.transaction() as tx:
        people.put(tx, facts(who, world.now + timedelta(seconds=1), deactivated=True))  # type: ignore[arg-type]
    with pytest.raises(Refused, match=words):
        world.claim(request.id, run.id)
    assert world.state(request.id) is State.VOID


def test_one_approver_too_many_may_have_left(world: World) -> None:
    """Of two approvals where one is needed, one may be lost without harm."""
    world.policy = policy(quorum=2)
    request = world.pending()
    world.approve(request.id, CAROL)
    world.approve(request.id, DAN)
    with world.ledger.transaction() as tx:
        tx.execute("UPDATE requests SET quorum = 1 WHERE id = ?", [request.id])
        people.put(tx, facts(CAROL, world.now + timedelta(seconds=1), deactivated=True))
    run = world.execute_run(request.id)
    assert world.claim(request.id, run.id).state is State.RUNNING


def test_with_slack_away_only_approvers_named_by_id_count(world: World) -> None:
    """The leader notes that Slack is away: a named approver's old facts do; one known through a group does not count."""
    request, run = ready(world)
    world.later(minutes=5)
    with world.ledger.transaction() as tx:
        people.set_slack_away(tx, True)
    assert world.claim(request.id, run.id).state is State.RUNNING
    assert last_detail(world, request.id)["slack_away"] is True


def test_with_slack_away_a_group_does_not_count(world: World) -> None:
    """Approved through a group, then Slack went away: it waits, approved, until Slack is back or it expires."""
    world.policy = policy(approvers=(GROUP,))
    with world.ledger.transaction() as tx:
        people.put_group(tx, group(CAROL, at=world.now))
    request, run = ready(world)
    with world.ledger.transaction() as tx:
        people.set_slack_away(tx, True)
    with pytest.raises(Refused) as caught:
        world.claim(request.id, run.id)
    assert caught.value.reason_code == "slack-away"
    assert world.state(request.id) is State.APPROVED


@pytest.mark.parametrize(
    "sql",
    [
        """UPDATE requests SET steps = replace(steps, '"port":null', '"port":5555')""",
        "UPDATE requests SET steps_hash = 'ff'",
        "UPDATE decisions SET steps_hash = 'ff'",
    ],
)
def test_a_plan_changed_after_approval_voids(world: World, sql: str) -> None:
    """Whatever was changed in the ledger, the steps, their hash or the vote's: what runs is what was approved, or nothing."""
    request, run = ready(world)
    with world.ledger.transaction() as tx:
        tx.execute(sql)
    with pytest.raises(Refused, match="not the one that was approved"):
        world.claim(request.id, run.id)
    assert world.state(request.id) is State.VOID


def test_steps_and_every_hash_in_the_rows_forged_together(world: World) -> None:
    """With steps, row hash and votes forged alike, the audit still knows what was proposed."""
    request, run = ready(world)
    assert request.plan is not None
    with world.ledger.transaction() as tx:
        tx.execute("""UPDATE requests SET steps = replace(steps, '"port":null', '"port":5555')""")
        forged = requests.get(tx, request.id).plan
        assert forged is not None
        assert forged.steps_hash != request.plan.steps_hash
        tx.execute("UPDATE requests SET steps_hash = ?", [forged.steps_hash])
        tx.execute("UPDATE decisions SET steps_hash = ?", [forged.steps_hash])
    with pytest.raises(Refused, match="not the one that was approved"):
        world.claim(request.id, run.id)


def test_an_unclaimed_approval_lapses(world: World) -> None:
    """Ten minutes after the approval nothing may start any more."""
    request, run = ready(world)
    world.later(minutes=10)
    world.refresh(ALICE, CAROL)
    with pytest.raises(Conflict):
        world.claim(request.id, run.id)
    desk.sweep(world.ledger, world.now)
    assert world.state(request.id) is State.EXPIRED


def test_a_run_of_something_else_cannot_claim(world: World) -> None:
    """Only a live run that was queued to execute this request may take it."""
    request = world.approved()
    other = world.pending()
    world.approve(other.id, DAN)
    world.refresh(ALICE, CAROL, DAN)
    foreign = world.execute_run(other.id)
    with pytest.raises(PitstopError) as caught:
        world.claim(request.id, foreign.id)
    assert caught.value.reason_code == "wrong-run"
    assert world.state(request.id) is State.APPROVED


def test_the_leader_learns_whom_to_refresh(world: World) -> None:
    """Requester, deciders and the policy's groups are what a claim is judged by."""
    request = world.approved()
    wanted = desk.to_refresh(world.ledger, request.id, policy(approvers=("UCAROL", GROUP)))
    assert (wanted.people, wanted.groups) == ((ALICE, CAROL), (GROUP,))

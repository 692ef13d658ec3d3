"""The desk's verbs on requests: rights inside the transaction, one answer per key, audit and cards with every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bot import desk
from bot.errors import Conflict, PitstopError, Refused, Usage
from bot.ledger import audit, cards, leases, modal_tokens, people, requests, runs
from bot.model.ids import RequestId
from bot.model.people import Person, PersonFacts
from bot.model.requests import Request, State
from bot.model.runs import RunState
from tests.unit.desk_world import (
    ALICE,
    BACKUP,
    BOB,
    CAROL,
    DAN,
    GROUP,
    ROOT,
    SLIPS,
    STRANGER,
    World,
    facts,
    group,
    new_world,
    plan,
    policy,
)


@pytest.fixture
def world() -> Iterator[World]:
    """A ledger with a clock that only moves when told."""
    with new_world() as made:
        yield made


def wanted(world: World, subject: str) -> dict[str, int]:
    """Return how often each card of a subject was asked for, by `kind@place`."""
    with world.ledger.read() as tx:
        rows = tx.query("SELECT subject_kind, place, wanted FROM cards WHERE subject = ?", [subject])
        return {f"{row['subject_kind']}@{row['place']}": row["wanted"] for row in rows}


def refused(world: World) -> list[dict[str, object]]:
    """Return the audit's refused attempts: actor, action, subject."""
    with world.ledger.read() as tx:
        return [
            {"actor": e.actor, "action": e.action, "subject": e.subject}
            for e in audit.entries(tx)
            if e.action.endswith(".refused")
        ]


def test_the_way_of_a_request(world: World) -> None:
    """From asking to success, each change has one audit entry and each card is asked for again."""
    request, run = world.running()
    desk.verifying(world.ledger, request.id, world.now)
    desk.succeed(world.ledger, request.id, {"rows": 3}, world.now)
    desk.finish_run(world.ledger, run.id, {}, world.now)
    assert [a for a in world.audited() if a.startswith("request.")] == [
        "request.ask",
        "request.propose",
        "request.confirm",
        "request.approve",
        "request.claim",
        "request.verify",
        "request.succeed",
    ]
    assert wanted(world, request.id) == {"request@dm:UALICE": 7, "request@approvals": 6, "request@results": 2}
    assert f"run@thread:request:{request.id}" in wanted(world, run.id)


def test_asking_queues_the_planning_run(world: World) -> None:
    """The run that plans is queued with the request, and its end without a plan refuses the request in words."""
    request = world.ask()
    assert request.run is not None
    with world.ledger.read() as tx:
        assert runs.get(tx, request.run).request == request.id
    desk.start_run(world.ledger, request.run, world.now)
    desk.fail_run(world.ledger, request.run, {"code": "gap", "message": "No WAL.", "nearest": ["10:00"]}, world.now)
    with world.ledger.read() as tx:
        after = requests.get(tx, request.id)
    assert after.state is State.REFUSED
    assert after.outcome == {"code": "gap", "message": "No WAL.", "nearest": ["10:00"]}


def test_a_plan_leases_its_backups_until_the_request_ends(world: World) -> None:
    """Retention can see what a request needs; nothing is leased once it ended."""
    request = world.pending()
    with world.ledger.read() as tx:
        (lease,) = leases.held(tx, SLIPS)
    assert (lease.request, lease.backups) == (request.id, (BACKUP,))
    world.deny(request.id)
    with world.ledger.read() as tx:
        assert leases.held(tx, SLIPS) == ()


Verb = Callable[[World, RequestId], object]
REFUSED: list[tuple[str, str, Verb]] = [
    ("self-approval", "request.approve", lambda w, r: w.approve(r, ALICE)),
    ("not-approver", "request.approve", lambda w, r: w.approve(r, BOB)),
    ("other-team", "request.approve", lambda w, r: w.approve(r, STRANGER)),
    ("not-linked", "request.approve", lambda w, r: w.approve(r, ROOT)),
    ("not-approver", "request.deny", lambda w, r: w.deny(r, BOB)),
    ("no-reason", "request.deny", lambda w, r: w.deny(r, CAROL, reason="  ")),
    ("not-approver", "request.cancel", lambda w, r: w.cancel(r, BOB)),
    ("not-requester", "request.confirm", lambda w, r: w.confirm(r, BOB)),
    ("not-proposed", "request.confirm", lambda w, r: w.confirm(r, ALICE)),
]


@pytest.mark.parametrize(("code", "action", "verb"), REFUSED)
def test_a_refused_attempt_is_audited_and_changes_nothing(world: World, code: str, action: str, verb: Verb) -> None:
    """Who tried what and why it was refused is in the chain; the request's row and cards are as before."""
    request = world.pending()
    cards_before = wanted(world, request.id)
    with pytest.raises(PitstopError) as caught:
        verb(world, request.id)
    assert caught.value.reason_code == code
    with world.ledger.read() as tx:
        assert requests.get(tx, request.id) == request
    assert wanted(world, request.id) == cards_before
    (entry,) = refused(world)
    assert (entry["action"], entry["subject"]) == (f"{action}.refused", request.id)


def test_asking_is_refused_and_audited_too(world: World) -> None:
    """Without approvers nobody asks; the attempt is in the audit, and no request and no run exist."""
    world.policy = policy(approvers=())
    with pytest.raises(Refused) as caught:
        world.ask()
    assert caught.value.reason_code == "no-approvers"
    assert refused(world) == [{"actor": ALICE.key, "action": "request.ask.refused", "subject": SLIPS}]
    with world.ledger.read() as tx:
        assert requests.recent(tx) == []
        assert runs.recent(tx) == []


def test_texts_without_measure_are_refused(world: World) -> None:
    """Ten thousand characters of emoji as a reason or target get a sentence, not a row."""
    with pytest.raises(Usage) as caught:
        world.ask(reason="💥*<!channel>*" * 1000)
    assert caught.value.reason_code == "reason-too-long"


def test_a_repeated_key_answers_the_same_and_changes_nothing(world: World) -> None:
    """Slack delivers twice: the second ask makes no second request, the second approval no second vote, and no audit entry."""
    first = world.ask(key="trigger-1")
    assert world.ask(key="trigger-1").id == first.id
    request = world.pending()
    world.approve(request.id, key="trigger-2")
    actions = world.audited()
    assert world.approve(request.id, key="trigger-2").state is State.APPROVED
    assert world.audited() == actions


def test_a_repeated_key_repeats_a_refusal(world: World) -> None:
    """A refused click delivered again is refused again, in the same words, and audited once."""
    request = world.pending()
    messages = []
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            world.approve(request.id, BOB, key="trigger-3")
        messages.append((caught.value.message, caught.value.hint, caught.value.reason_code))
    assert messages[0] == messages[1]
    assert len(refused(world)) == 1


def test_a_refusal_for_want_of_facts_does_not_use_the_key_up(world: World) -> None:
    """When nobody knew enough, the same click may be judged again once Slack has answered."""
    request = world.pending()
    old = facts(CAROL, world.now - timedelta(minutes=5))

    def click(known: PersonFacts | None) -> Request:
        return world.approve(request.id, key="trigger-4", facts=known)

    for known in (None, old):
        with pytest.raises(Refused):
            click(known)
    click(facts(CAROL, world.now))
    assert world.state(request.id) is State.APPROVED


def test_a_key_belongs_to_one_call(world: World) -> None:
    """The same key for another request or another person is refused: nobody rides on somebody else's answer."""
    one, other = world.pending(), world.pending(BOB)
    world.approve(one.id, key="trigger-5")
    for request, by in ((other.id, CAROL), (one.id, DAN)):
        with pytest.raises(Conflict) as caught:
            world.approve(request, by, key="trigger-5")
        assert caught.value.reason_code == "key-reused"
    assert world.state(other.id) is State.PENDING


def test_approvals_by_group_from_facts_in_the_ledger(world: World) -> None:
    """Groups brought along are kept, and the right is decided from what the ledger then knows."""
    world.policy = policy(approvers=(GROUP,))
    request = world.pending()
    after = world.approve(request.id, DAN, groups={GROUP: group(DAN, at=world.now)})
    assert after.state is State.APPROVED
    with world.ledger.read() as tx:
        assert DAN in people.groups(tx, [GROUP])[GROUP].members


def test_an_older_answer_never_replaces_a_newer_one(world: World) -> None:
    """Slack said just now that Carol was deactivated; an answer fetched before that cannot bring her back."""
    request = world.pending()
    with world.ledger.transaction() as tx:
        people.put(tx, facts(CAROL, world.now, deactivated=True))
    with pytest.raises(Refused) as caught:
        world.approve(request.id, facts=facts(CAROL, world.now - timedelta(seconds=5)))
    assert caught.value.reason_code == "deactivated"


def test_two_of_two(world: World) -> None:
    """With a quorum of two the card shows each vote, and a linked login is the same human."""
    world.policy = policy(quorum=2)
    world.people = {"carol": "UCAROL"}
    request = world.pending()
    assert world.approve(request.id, CAROL).state is State.PENDING
    assert world.approve(request.id, Person("host", "carol")).state is State.PENDING
    done = world.approve(request.id, DAN)
    assert done.state is State.APPROVED
    assert [d.name for d in done.decisions] == ["Carol", "Dan"]
    assert {d.steps_hash for d in done.decisions} == {done.plan.steps_hash if done.plan else None}


def test_from_the_host_beside(world: World) -> None:
    """A restore beside from the host needs a reason and no approver; it is announced where approvals are asked for."""
    proposed = world.proposed(ROOT)
    with world.ledger.transaction() as tx:
        tx.execute("UPDATE requests SET reason = '' WHERE id = ?", [proposed.id])
    with pytest.raises(Usage):
        world.confirm(proposed.id, ROOT, reason="")
    assert world.confirm(proposed.id, ROOT).state is State.APPROVED
    assert wanted(world, proposed.id) == {"request@approvals": 2}
    run = world.execute_run(proposed.id)
    assert world.claim(proposed.id, run.id).state is State.RUNNING


def test_a_linked_login_gets_its_messages(world: World) -> None:
    """Whoever asks on the host and has a Slack account sees the card there."""
    world.people = {"root": "UBOB"}
    assert wanted(world, world.ask(ROOT).id) == {"request@dm:UBOB": 1}


def test_cancelling_ends_what_is_queued(world: World) -> None:
    """A cancelled request takes its queued run with it; a running one is shown to the supervisor as unwanted."""
    request = world.ask()
    assert request.run is not None
    world.cancel(request.id)
    with world.ledger.read() as tx:
        assert runs.get(tx, request.run).state is RunState.CANCELLED
        assert tx.execute("SELECT count(*) FROM locks").fetchone()[0] == 0
    running, run = world.running()
    world.cancel(running.id, CAROL)
    with world.ledger.read() as tx:
        assert [r.id for r in runs.unwanted(tx)] == [run.id]
    with pytest.raises(Conflict, match="Carol cancelled this"):
        desk.verifying(world.ledger, running.id, world.now)


def test_a_modal_token_is_good_for_one_use_one_person_one_version(world: World) -> None:
    """A form sent twice, by somebody else, or after the request changed, changes nothing."""
    request = world.pending()

    def issue(token: str, person: Person = CAROL, version: int = request.version, purpose: str = "deny") -> None:
        with world.ledger.transaction() as tx:
            modal_tokens.issue(
                tx,
                token,
                person=person,
                purpose=purpose,
                request=request.id,
                version=version,
                expires_at=world.now + timedelta(minutes=30),
            )

    def deny(token: str) -> Request:
        return world.deny(request.id, token=token)

    issue("dans", DAN)
    issue("old", version=request.version - 1)
    issue("other", purpose="confirm")
    issue("good")
    for token, code in (
        ("dans", "token-foreign"),
        ("old", "changed"),
        ("other", "token-foreign"),
        ("?", "token-foreign"),
    ):
        with pytest.raises(PitstopError) as caught:
            deny(token)
        assert caught.value.reason_code == code
    deny("good")
    assert world.state(request.id) is State.DENIED
    with pytest.raises(PitstopError):
        deny("good")


def test_a_refused_form_may_be_sent_again(world: World) -> None:
    """A form refused for its reason keeps its token: the person mends the text and sends it again."""
    request = world.pending()
    with world.ledger.transaction() as tx:
        until = world.now + timedelta(minutes=5)
        modal_tokens.issue(
            tx, "t", person=CAROL, purpose="deny", request=request.id, version=request.version, expires_at=until
        )

    def deny(reason: str) -> Request:
        return world.deny(request.id, reason=reason, token="t")

    with pytest.raises(Usage) as caught:
        deny("")
    assert (caught.value.reason_code, world.state(request.id)) == ("no-reason", State.PENDING)
    deny("too risky")
    assert world.state(request.id) is State.DENIED


def test_waking_the_approvers_spoils_no_form(world: World) -> None:
    """A form for a no that was open while the approvers were woken is still good; after somebody's vote it is not, and says so."""
    world.policy = policy(approvers=("UCAROL", "UDAN"), quorum=2)
    request = world.pending()
    with world.ledger.transaction() as tx:
        until = world.now + timedelta(minutes=9)
        modal_tokens.issue(
            tx, "early", person=CAROL, purpose="deny", request=request.id, version=request.version, expires_at=until
        )

    def deny(token: str) -> Request:
        return world.deny(request.id, token=token)

    world.later(minutes=2)
    assert desk.wake_due(world.ledger, world.now, timedelta(minutes=2), {SLIPS: world.policy})
    world.later(seconds=1)
    world.approve(request.id, DAN)
    with pytest.raises(Conflict, match="changed since this form was opened"):
        deny("early")
    other = world.pending()
    with world.ledger.transaction() as tx:
        modal_tokens.issue(
            tx,
            "third",
            person=CAROL,
            purpose="deny",
            request=other.id,
            version=other.version,
            expires_at=world.now + timedelta(minutes=9),
        )
    request = other
    world.later(minutes=2)
    assert desk.wake_due(world.ledger, world.now, timedelta(minutes=2), {SLIPS: world.policy})
    deny("third")
    assert world.state(other.id) is State.DENIED


def test_the_sweep_expires_once_also_after_a_long_sleep(world: World) -> None:
    """Whatever lapsed while nobody ran is expired at the first sweep, and cards say so; the second sweep finds nothing."""
    waiting = [world.ask(), world.proposed(), world.pending(), world.approved()]
    running, _ = world.running()
    world.later(days=3)
    swept = desk.sweep(world.ledger, world.now)
    assert {r.id for r in swept} == {r.id for r in waiting}
    assert {world.state(r.id) for r in waiting} == {State.EXPIRED}
    assert world.state(running.id) is State.RUNNING
    assert desk.sweep(world.ledger, world.now) == []
    assert world.audited().count("request.expire") == 4


def test_a_click_after_expiry_loses_before_and_after_the_sweep(world: World) -> None:
    """At the expiry's second an approval is refused, whether or not the sweep came by."""
    request = world.pending()
    world.later(minutes=30)
    with pytest.raises(Conflict):
        world.approve(request.id)
    desk.sweep(world.ledger, world.now)
    with pytest.raises(Conflict, match="expired"):
        world.approve(request.id, DAN)


def test_approvers_are_woken_once(world: World) -> None:
    """After two minutes each approver who can still decide gets a message and the channel a second mention, once."""
    world.policy = policy(approvers=("UALICE", "UCAROL", GROUP), quorum=2)
    request = world.pending()
    with world.ledger.transaction() as tx:
        people.put_group(tx, group(DAN, at=world.now))
    world.approve(request.id, CAROL)
    after = timedelta(minutes=2)
    policies = {SLIPS: world.policy}
    assert desk.wake_due(world.ledger, world.now, after, policies) == []
    world.later(minutes=2)
    assert desk.wake_due(world.ledger, world.now, after, {}) == []
    assert [r.id for r in desk.wake_due(world.ledger, world.now, after, policies)] == [request.id]
    assert desk.wake_due(world.ledger, world.now, after, policies) == []
    with world.ledger.read() as tx:
        places = {card.place for card in cards.of_subject(tx, "wake", request.id)}
    assert places == {"dm:UDAN", f"thread:request:{request.id}"}
    world.cancel(request.id)
    with world.ledger.read() as tx:
        assert all(card.wanted == 2 for card in cards.of_subject(tx, "wake", request.id))


def test_a_proposal_for_a_request_that_ended_is_a_conflict(world: World) -> None:
    """A plan that comes after the cancellation changes nothing and says who cancelled."""
    request = world.ask()
    world.cancel(request.id)
    with pytest.raises(Conflict, match="Alice cancelled this"):
        desk.propose(world.ledger, request.id, plan(), world.now)


def test_unknown_requests_are_named(world: World) -> None:
    """A request nobody made is a usage error with the command that lists them."""
    with pytest.raises(Usage) as caught:
        world.approve(RequestId("r0000000000"))
    assert caught.value.hint == "`pitstop request list`"


def test_a_stale_version_loses(world: World) -> None:
    """A row written by somebody else in between is never overwritten."""
    request = world.pending()
    world.approve(request.id)
    with pytest.raises(Conflict), world.ledger.transaction() as tx:
        requests.update(tx, replace(request, version=request.version + 1, state=State.DENIED))
    assert world.state(request.id) is State.APPROVED


def test_attempts_before_any_verb_are_noted(world: World) -> None:
    """What parsing refused is in the audit as well, however long it was."""
    desk.note_attempt(world.ledger, world.now, ALICE.key, "pitr", "x" * 10_000, Usage("What?", hint="Like this."))
    (entry,) = refused(world)
    assert entry["action"] == "pitr.refused"
    assert len(str(entry["subject"])) == 200

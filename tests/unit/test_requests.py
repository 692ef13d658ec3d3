"""The state machine of requests: every arrow that is drawn, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.errors import Conflict, PitstopError, Usage
from bot.model import transitions as t
from bot.model.again import again
from bot.model.commands import parse_target
from bot.model.ids import RequestId, RunId
from bot.model.people import Person
from bot.model.plans import Destination
from bot.model.policy import Identities
from bot.model.requests import TRANSITIONS, Decision, Request, State
from bot.model.standing import ago, standing
from tests.unit.desk_world import ALICE, BOB, CAROL, DAN, NOON, ROOT, SLIPS, TARGET, TEAM, plan, policy

IDS = Identities(TEAM, {"alice": "UALICE", "carol": "UCAROL"})
RUN, OTHER_RUN = RunId("run-1"), RunId("run-2")


def planning(requester: Person = ALICE) -> Request:
    """Return a fresh request."""
    return t.ask(
        id=RequestId("r1"),
        verb="pitr",
        cluster=SLIPS,
        requester=requester,
        requester_name="Alice",
        target=TARGET,
        target_text="11:00",
        destination={"kind": "beside"},
        reason="",
        policy=policy(),
        run=RUN,
        at=NOON,
    )


def approved() -> Request:
    """Return a request that Carol approved."""
    return t.approve(pending(), by=CAROL, name="Carol", policy=policy(), identities=IDS, at=NOON)


def pending(quorum: int = 1) -> Request:
    """Return a request that waits for approval."""
    return t.confirm(t.propose(planning(), plan(), NOON), reason="why", policy=policy(quorum=quorum), at=NOON)


def in_state(state: State) -> Request:
    """Return a request that reached `state` by its arrows."""
    running = t.claim(approved(), RUN, identities=IDS, at=NOON)
    late = NOON + timedelta(hours=2)
    made: dict[State, Callable[[], Request]] = {
        State.PLANNING: planning,
        State.REFUSED: lambda: t.refuse(planning(), {"code": "gap"}, NOON),
        State.PROPOSED: lambda: t.propose(planning(), plan(), NOON),
        State.PENDING: pending,
        State.APPROVED: approved,
        State.RUNNING: lambda: running,
        State.VERIFYING: lambda: t.verify(running, NOON),
        State.SUCCEEDED: lambda: t.succeed(t.verify(running, NOON), {}, NOON),
        State.DENIED: lambda: t.deny(pending(), by=DAN, name="Dan", reason="no", identities=IDS, at=NOON),
        State.EXPIRED: lambda: t.expire(pending(), late),
        State.CANCELLED: lambda: t.cancel(pending(), by=ALICE, name="Alice", reason="", at=NOON),
        State.VOID: lambda: t.void(approved(), ["It changed."], NOON),
        State.INTERRUPTED: lambda: t.interrupt(running, NOON),
        State.FAILED: lambda: t.fail(running, {}, NOON),
    }
    return made[state]()


VERBS: dict[str, Callable[[Request], Request]] = {
    "propose": lambda r: t.propose(r, plan(), NOON),
    "refuse": lambda r: t.refuse(r, {"code": "gap"}, NOON),
    "confirm": lambda r: t.confirm(r, reason="why", policy=policy(), at=NOON),
    "approve": lambda r: t.approve(r, by=DAN, name="Dan", policy=policy(), identities=IDS, at=NOON),
    "deny": lambda r: t.deny(r, by=DAN, name="Dan", reason="no", identities=IDS, at=NOON),
    "expire": lambda r: t.expire(r, NOON + timedelta(hours=2)),
    "cancel": lambda r: t.cancel(r, by=ALICE, name="Alice", reason="", at=NOON),
    "claim": lambda r: t.claim(r, OTHER_RUN, identities=IDS, at=NOON),
    "void": lambda r: t.void(r, ["It changed."], NOON),
    "verify": lambda r: t.verify(r, NOON),
    "succeed": lambda r: t.succeed(r, {}, NOON),
    "fail": lambda r: t.fail(r, {"code": "failed"}, NOON),
    "interrupt": lambda r: t.interrupt(r, NOON),
    "resume": lambda r: t.resume(r, OTHER_RUN, NOON),
}


@pytest.mark.parametrize("verb", sorted(VERBS))
@pytest.mark.parametrize("state", list(State))
def test_each_verb_walks_its_arrows_and_refuses_everywhere_else(state: State, verb: str) -> None:
    """Exactly the drawn arrows can be walked; every other attempt is refused in a sentence and changes nothing."""
    targets = {a.target for a in TRANSITIONS if a.source is state and a.verb == verb}
    before = in_state(state)
    if targets:
        after = VERBS[verb](before)
        assert after.state in targets
        assert after.version == before.version + 1
    else:
        with pytest.raises(Conflict) as caught:
            VERBS[verb](before)
        assert caught.value.message.endswith(".")
        assert caught.value.reason_code not in {"conflict", "refused"}


def test_the_table_draws_the_designs_arrows() -> None:
    """The table is the design's diagram: one letter per meaning, nothing leads out of an ended state, all are reachable."""
    assert len({(a.source, a.target) for a in TRANSITIONS}) == len(TRANSITIONS) == 30
    meanings = {(a.letter, a.target, a.verb, a.meaning) for a in TRANSITIONS if a.verb != "resume"}
    assert len({m[0] for m in meanings}) == len(meanings)
    sources = {a.source for a in TRANSITIONS}
    assert {s for s in State if s not in sources} == {s for s in State if s.ended}
    assert {a.target for a in TRANSITIONS} == set(State)
    pairs = {(a.source, a.target) for a in TRANSITIONS}
    planning_arrows = {target for source, target in pairs if source is State.PLANNING}
    assert planning_arrows == {State.PROPOSED, State.REFUSED, State.INTERRUPTED, State.CANCELLED, State.EXPIRED}


def test_from_the_host_beside_no_approver_is_needed() -> None:
    """Arrow e: on the host with a quorum of 0 a confirmed plan is approved, and can be claimed without decisions."""
    proposed = t.propose(planning(ROOT), plan(), NOON)
    after = t.confirm(proposed, reason="why", policy=policy(), at=NOON)
    assert (after.state, after.quorum) == (State.APPROVED, 0)
    assert t.claim(after, RUN, identities=IDS, at=NOON).state is State.RUNNING


def test_a_quorum_of_zero_in_slack_still_needs_somebody() -> None:
    """A request from Slack is never approved by nobody, whatever the policy or the row says."""
    proposed = t.propose(planning(), plan(), NOON)
    after = t.confirm(proposed, reason="why", policy=policy(quorum=0), at=NOON)
    assert (after.state, after.quorum) == (State.PENDING, 1)
    forged = replace(after, state=State.APPROVED, quorum=0)
    with pytest.raises(t.NotAgreed):
        t.claim(forged, RUN, identities=IDS, at=NOON)


def test_a_quorum_counts_distinct_humans() -> None:
    """Two approvals by one human, in Slack and as the login linked to them, are one; a second human completes the quorum."""
    two = policy(quorum=2)
    one = t.approve(pending(2), by=CAROL, name="Carol", policy=two, identities=IDS, at=NOON)
    assert one.state is State.PENDING
    same = t.approve(one, by=Person("host", "carol"), name="carol", policy=two, identities=IDS, at=NOON)
    assert same is one
    done = t.approve(same, by=DAN, name="Dan", policy=two, identities=IDS, at=NOON)
    assert done.state is State.APPROVED
    assert t.agreed(done, IDS) == {CAROL, DAN}


@pytest.mark.parametrize("by", [ALICE, Person("host", "alice")])
def test_nobody_approves_their_own(by: Person) -> None:
    """The requester cannot approve, not even as the login that is linked to them."""
    with pytest.raises(t.SelfApproval):
        t.approve(pending(), by=by, name="Alice", policy=policy(), identities=IDS, at=NOON)
    with pytest.raises(t.SelfApproval):
        t.deny(pending(), by=by, name="Alice", reason="no", identities=IDS, at=NOON)


def test_a_login_asks_and_its_slack_account_may_not_approve() -> None:
    """The link works in the other direction as well: asked on the host, approved in Slack by the same human."""
    asked = t.propose(planning(Person("host", "alice")), plan(), NOON)
    waiting = t.confirm(asked, reason="why", policy=replace(policy(), cli_beside_quorum=1), at=NOON)
    assert waiting.state is State.PENDING
    with pytest.raises(t.SelfApproval):
        t.approve(waiting, by=ALICE, name="Alice", policy=policy(), identities=IDS, at=NOON)


def test_a_forged_own_approval_does_not_count_at_the_claim() -> None:
    """Whoever put the requester's approval into the row: it is no agreement."""
    forged = replace(pending(), state=State.APPROVED, decisions=(Decision(ALICE, "approve", "", NOON),))
    with pytest.raises(t.NotAgreed):
        t.claim(forged, RUN, identities=IDS, at=NOON)


def test_a_repeated_approval_changes_nothing() -> None:
    """The same human approving again gets the same value back, also once it is approved or running."""
    first = approved()
    assert t.approve(first, by=CAROL, name="Carol", policy=policy(), identities=IDS, at=NOON) is first
    running = t.claim(first, RUN, identities=IDS, at=NOON)
    assert t.approve(running, by=CAROL, name="Carol", policy=policy(), identities=IDS, at=NOON) is running


def test_an_approver_may_change_their_mind_while_it_waits() -> None:
    """Of two needed, the first approver may still deny; their approval does not count any more."""
    two = policy(quorum=2)
    one = t.approve(pending(2), by=CAROL, name="Carol", policy=two, identities=IDS, at=NOON)
    denied = t.deny(one, by=CAROL, name="Carol", reason="looked again", identities=IDS, at=NOON)
    assert denied.state is State.DENIED
    assert [d.verdict for d in denied.decisions] == ["deny"]


def test_the_loser_is_told_who_was_faster() -> None:
    """A second decision learns from the error who decided, and how long ago."""
    later = NOON + timedelta(seconds=12)
    with pytest.raises(t.NotPending, match="Carol approved this 12 s ago"):
        t.deny(approved(), by=DAN, name="Dan", reason="no", identities=IDS, at=later)
    denied = t.deny(pending(), by=DAN, name="Dan", reason="no", identities=IDS, at=NOON)
    with pytest.raises(t.NotPending, match="Dan denied this 12 s ago"):
        t.approve(denied, by=CAROL, name="Carol", policy=policy(), identities=IDS, at=later)


@pytest.mark.parametrize("verb", ["propose", "confirm", "approve", "deny", "claim"])
def test_nothing_is_decided_once_its_time_is_up(verb: str) -> None:
    """At the very second of its expiry a request can only expire, even before the sweep has come by."""
    source = next(a.source for a in TRANSITIONS if a.verb == verb)
    assert source is not None
    before = in_state(source)
    assert before.expires_at is not None
    lapsed = replace(before, expires_at=NOON)
    with pytest.raises(t.Lapsed):
        VERBS[verb](lapsed)
    assert t.expire(lapsed, NOON).state is State.EXPIRED


def test_each_wait_has_its_own_time() -> None:
    """A proposal, a pending and an approved request expire after the policy's times, counted from when they began."""
    proposed = t.propose(planning(), plan(), NOON + timedelta(minutes=5))
    assert proposed.expires_at == NOON + timedelta(minutes=35)
    assert pending().expires_at == NOON + timedelta(minutes=30)
    assert approved().expires_at == NOON + timedelta(minutes=10)
    with pytest.raises(t.NotLapsed):
        t.expire(approved(), NOON + timedelta(minutes=9, seconds=59))
    gone = t.expire(approved(), NOON + timedelta(minutes=10))
    assert gone.outcome is not None
    assert gone.outcome["code"] == "unclaimed"


@pytest.mark.parametrize("state", [State.PLANNING, State.RUNNING, State.VERIFYING])
def test_an_interrupted_request_is_resumed_where_it_was(state: State) -> None:
    """Arrow q leads back to the state that arrow p left, under the new run."""
    interrupted = t.interrupt(in_state(state), NOON)
    assert interrupted.resume_state is state
    resumed = t.resume(interrupted, OTHER_RUN, NOON)
    assert (resumed.state, resumed.run, resumed.resume_state) == (state, OTHER_RUN, None)


def test_a_changed_policy_stops_a_confirmation_and_an_approval() -> None:
    """A plan made under another policy is neither sent nor approved."""
    other = policy(version="v2")
    with pytest.raises(t.PolicyChanged):
        t.confirm(t.propose(planning(), plan(), NOON), reason="why", policy=other, at=NOON)
    with pytest.raises(t.PolicyChanged):
        t.approve(pending(), by=CAROL, name="Carol", policy=other, identities=IDS, at=NOON)


@pytest.mark.parametrize(
    ("reason", "code"), [("", "no-reason"), (" \t\n", "no-reason"), ("😀" * 10_000, "reason-too-long")]
)
def test_reasons_are_given_and_bounded(reason: str, code: str) -> None:
    """No reason, or ten thousand emoji, is answered with what to do; nothing changes."""
    proposed = t.propose(planning(), plan(), NOON)
    with pytest.raises(Usage) as caught:
        t.confirm(proposed, reason=reason, policy=policy(), at=NOON)
    assert caught.value.reason_code == code
    assert caught.value.hint


def test_control_characters_do_not_reach_the_ledger() -> None:
    """Escape sequences and NULs in what people typed become spaces; line breaks stay."""
    assert t.told("drop\x1b[31m\x00\nred\u202e", "reason", 100) == "drop [31m \nred"


@pytest.mark.parametrize(
    "other", [{"cluster": "other"}, {"verb": "restore"}, {"destination": Destination("in-place", "/data")}]
)
def test_a_plan_for_something_else_is_not_shown_to_anybody(other: dict[str, Any]) -> None:
    """A plan whose steps name another cluster, verb or kind of destination than was asked for is never proposed."""
    made = plan()
    with pytest.raises(t.OtherPlan):
        t.propose(planning(), replace(made, steps=replace(made.steps, **other)), NOON)


def test_in_place_is_not_asked_for() -> None:
    """This version knows no other destination than beside, and says so."""
    with pytest.raises(Usage, match="beside"):
        t.ask(
            id=RequestId("r1"),
            verb="pitr",
            cluster=SLIPS,
            requester=BOB,
            requester_name="Bob",
            target=TARGET,
            target_text="11:00",
            destination={"kind": "in place"},
            reason="",
            policy=policy(),
            run=RUN,
            at=NOON,
        )


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_be_told_to_a_person(state: State) -> None:
    """Wherever a request stands there is one sentence for whoever came too late."""
    sentence = standing(in_state(state), NOON + timedelta(minutes=5))
    assert sentence.endswith(".")
    assert "None" not in sentence


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (12, "12 s ago"), (300, "5 min ago"), (7200, "2 h ago"), (200_000, "2 days ago")],
)
def test_ages_are_said_in_one_unit(seconds: int, words: str) -> None:
    """How long ago something was is said as people do."""
    assert ago(NOON, NOON + timedelta(seconds=seconds)) == words


def test_ask_again_offers_the_nearest_reachable_target() -> None:
    """A refused request is offered with the nearest time in place of the impossible one; a running one is not offered."""
    refused = t.refuse(planning(), {"code": "gap", "nearest": ["10:58:01", "11:03:00"]}, NOON)
    offer = again(refused)
    assert offer is not None
    assert (offer.target_text, offer.nearest) == ("10:58:01", ("10:58:01", "11:03:00"))
    expired = again(in_state(State.EXPIRED))
    assert expired is not None
    assert expired.target_text == "2026-11-22 11:00:00 UTC"
    assert again(in_state(State.RUNNING)) is None
    assert again(in_state(State.SUCCEEDED)) is None


@pytest.mark.parametrize(
    "text", ["10 minutes ago", "before 11:30", "xid:84213", "before:point:x", "latest", "before 10:00:00.123456"]
)
def test_ask_again_means_the_same_later(text: str) -> None:
    """What the form is filled in with is read as the same target a week later, in another zone."""
    target = parse_target(text, now=NOON, zone=UTC)
    offer = again(replace(in_state(State.EXPIRED), target=target, target_text=text))
    assert offer is not None
    later = parse_target(offer.target_text, now=NOON + timedelta(days=7), zone=ZoneInfo("Asia/Bangkok"))
    assert replace(later, read_as="") == replace(target, read_as="")


def test_every_error_is_a_specific_one() -> None:
    """Each error of the transitions has a code of its own, for scripts and the audit."""
    errors = [
        e
        for e in vars(t).values()
        if isinstance(e, type) and issubclass(e, PitstopError) and e.__module__ == t.__name__
    ]
    assert len({e.code for e in errors}) == len(errors) >= 10

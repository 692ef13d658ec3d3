"""Requests driven by everybody at once, in any order: only drawn arrows, never without agreement, and every change is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bot import desk
from bot.errors import Conflict, Refused, Usage
from bot.ledger import audit, cards, leases, locks, requests, runs
from bot.model.ids import RequestId, RunId
from bot.model.people import Person
from bot.model.policy import Identities
from bot.model.requests import TRANSITIONS, Request, State
from bot.model.runs import Job, RunState
from tests.unit.desk_world import ALICE, BOB, CAROL, DAN, GUEST, SLIPS, TEAM, World, new_world

HOST_ALICE, HOST_CAROL, HOST_NOBODY = Person("host", "alice"), Person("host", "carol"), Person("host", "nobody")
LOGINS = {"alice": "UALICE", "carol": "UCAROL"}
EVERYBODY = [ALICE, BOB, CAROL, DAN, GUEST, HOST_ALICE, HOST_CAROL, HOST_NOBODY]
ARROWS = {(arrow.source, arrow.target) for arrow in TRANSITIONS}
GOING = {State.APPROVED, State.RUNNING, State.VERIFYING, State.SUCCEEDED}

_ALL = ("UALICE", "UCAROL", "UDAN", "host:nobody")

somebody = st.sampled_from(EVERYBODY)
which = st.integers(0, 3)


class Desk(RuleBasedStateMachine):
    """A few requests, a handful of people, an executor that may die, a clock, and a policy that may change."""

    @initialize(quorum=st.integers(1, 2))
    def open(self, quorum: int) -> None:
        """Begin with an empty ledger."""
        self.closing = ExitStack()
        self.world: World = self.closing.enter_context(new_world())
        self.world.policy = replace(
            self.world.policy, quorum=quorum, approvers=("UALICE", "UCAROL", "UDAN", "host:nobody")
        )
        self.world.people = LOGINS
        self.seen: dict[RequestId, Request] = {}
        self.wanted: dict[RequestId, int] = {}
        self.last: Callable[[], object] | None = None

    def teardown(self) -> None:
        """Throw the ledger away."""
        if hasattr(self, "closing"):
            self.closing.close()

    def known(self, number: int) -> RequestId:
        """Return one of the requests."""
        return list(self.seen)[number % len(self.seen)] if self.seen else RequestId("r-none")

    def say(self, word: Callable[[], object]) -> None:
        """Say something to the desk, which may refuse; what it said once it may be told again."""
        with suppress(Refused, Conflict, Usage):
            word()
        self.last = word

    @rule(by=somebody, reason=st.sampled_from(["", "dropped a table"]))
    def ask(self, by: Person, reason: str) -> None:
        """Somebody asks."""
        if len(self.seen) < 4:
            key, known = self.world.key(), set(self.seen)
            self.say(lambda: self.world.ask(by, key=key, reason=reason))
            assert len(self.read()) <= len(known) + 1

    @rule(number=which)
    def go_on(self, number: int) -> None:
        """The next thing that should happen to a request happens."""
        request = self.seen.get(self.known(number))
        if request is None:
            return
        match request.state:
            case State.PLANNING:
                self.plan(request, "v1")
            case State.PROPOSED:
                self.click(number, request.requester, "confirm")
            case State.PENDING:
                self.click(number, DAN if request.decisions else CAROL, "approve")
            case State.APPROVED:
                self.execute(request.id, stale=False, broken=False)
            case State.RUNNING:
                self.work(number, "verify")
            case State.VERIFYING:
                self.work(number, "succeed")
            case State.INTERRUPTED:
                self.resume(request.id)
            case _:
                self.ask(ALICE, "again")

    @rule(number=which)
    def go_further(self, number: int) -> None:
        """The next three things happen, one after the other."""
        for _ in range(3):
            self.go_on(number)
            self.only_drawn_arrows_are_walked()

    def plan(self, request: Request, version: str) -> None:
        """The planning run ends with a plan, perhaps one made under another policy."""
        self.say(lambda: self.world.plan_it(request, directory=f"/restores/{request.id}", version=version))

    @rule(number=which, by=somebody, verb=st.sampled_from(["confirm", "approve", "approve", "deny", "cancel"]))
    def click(self, number: int, by: Person, verb: str) -> None:
        """Somebody presses a button, whoever they are and whatever the request's state."""
        request, key = self.known(number), self.world.key()
        verbs: dict[str, Callable[[], object]] = {
            "confirm": lambda: self.world.confirm(request, by, key=key),
            "approve": lambda: self.world.approve(request, by, key=key),
            "deny": lambda: self.world.deny(request, by),
            "cancel": lambda: self.world.cancel(request, by),
        }
        self.say(verbs[verb])

    @rule(number=which, by=somebody)
    def approve_twice(self, number: int, by: Person) -> None:
        """Somebody presses Approve twice, with two triggers."""
        self.click(number, by, "approve")
        self.click(number, by, "approve")

    def execute(self, request: RequestId, *, stale: bool, broken: bool) -> None:
        """The supervisor queues an executor, which claims, perhaps with old facts or with a disk that filled up."""

        def word() -> None:
            run = self.world.execute_run(request)
            if not stale:
                self.world.refresh(ALICE, BOB, CAROL, DAN)
            try:
                self.world.claim(request, run.id, disk_free=1 if broken else 9000)
            except (Refused, Conflict) as error:
                desk.fail_run(self.world.ledger, run.id, error.as_json(), self.world.now)

        self.say(word)

    @rule(
        number=which,
        how=st.sampled_from(
            ["stale", "broken", "other plan", "refuse", "verify", "succeed", "fail", "die", "finish", "stop"]
        ),
    )
    def work(self, number: int, how: str) -> None:
        """A process says its next word, whatever the request's state: it goes on, ends well or badly, or dies."""
        request = self.seen.get(self.known(number))
        if request is None:
            return
        ledger, now, run = self.world.ledger, self.world.now, request.run or RunId("none")
        words: dict[str, Callable[[], object]] = {
            "verify": lambda: desk.verifying(ledger, request.id, now),
            "succeed": lambda: desk.succeed(ledger, request.id, {"seconds": 1}, now),
            "fail": lambda: desk.fail(ledger, request.id, {"code": "x", "message": "no"}, now),
            "refuse": lambda: desk.refuse(ledger, request.id, {"code": "x", "message": "no"}, now),
            "die": lambda: desk.interrupt_run(ledger, run, now),
            "finish": lambda: desk.finish_run(ledger, run, {}, now),
            "stop": lambda: desk.cancel_run(ledger, run, now),
        }
        if how in words:
            self.say(words[how])
        elif how == "other plan":
            self.plan(replace(request, run=run), "v2")
        else:
            self.execute(request.id, stale=how == "stale", broken=how == "broken")

    def resume(self, request: RequestId) -> None:
        """The supervisor takes an interrupted request up again."""
        entropy = self.world.entropy()

        def word() -> None:
            run = desk.resume(self.world.ledger, request, at=self.world.now, entropy=entropy)
            desk.start_run(self.world.ledger, run.id, self.world.now)
            with self.world.ledger.read() as tx:
                now = requests.get(tx, request)
            if now.state in {State.RUNNING, State.VERIFYING}:
                assert self.world.claim(request, run.id) == now

        self.say(word)

    @rule(minutes=st.sampled_from([0.5, 0.5, 3, 3, 11, 31]), sweep=st.booleans())
    def wait(self, minutes: float, sweep: bool) -> None:
        """Time passes, and the leader looks or does not."""
        self.world.later(minutes=minutes)
        if sweep:
            desk.sweep(self.world.ledger, self.world.now)
            desk.wake_due(self.world.ledger, self.world.now, timedelta(minutes=2), {SLIPS: self.world.policy}, LOGINS)

    @rule(
        version=st.sampled_from(["v1", "v2"]),
        approvers=st.sampled_from([("UCAROL",), ("UALICE", "UCAROL", "UDAN"), ()]),
    )
    def change_policy(self, version: str, approvers: tuple[str, ...]) -> None:
        """Somebody edits the configuration."""
        self.world.policy = replace(self.world.policy, version=version, approvers=approvers)

    @precondition(lambda self: getattr(self, "last", None) is not None)
    @rule()
    def repeat(self) -> None:
        """The last word is delivered a second time: with the same key, or against a state that moved on."""
        assert self.last is not None
        self.say(self.last)

    def read(self) -> dict[RequestId, Request]:
        """Return every request as it is in the ledger."""
        with self.world.ledger.read() as tx:
            return {request.id: request for request in reversed(requests.recent(tx))}

    @invariant()
    def only_drawn_arrows_are_walked(self) -> None:
        """Each request stands where an arrow leads from where it stood; what ended stays; a plan, once made, is the plan."""
        if not hasattr(self, "world"):
            return
        now = self.read()
        assert set(self.seen) <= set(now)
        for after in now.values():
            before = self.seen.get(after.id)
            self._one_step(before, after)
            assert (after.state in GOING) <= self._agreed(after)
        self._cards_follow(now)
        self.seen = now

    def _one_step(self, before: Request | None, after: Request) -> None:
        if before is None or before == after:
            return
        steps = after.version - before.version
        assert steps >= 1
        assert not before.state.ended
        assert steps > 1 or before.state is after.state or (before.state, after.state) in ARROWS
        assert before.plan is None or after.plan == before.plan
        assert (after.requester, after.created_at) == (before.requester, before.created_at)

    def _agreed(self, request: Request) -> bool:
        """Say whether as many different humans agreed as were asked for, the requester not among them."""
        identities = Identities(TEAM, LOGINS)
        humans = {identities.human(d.by) for d in request.decisions if d.verdict == "approve"}
        humans.discard(identities.human(request.requester))
        alone = request.requester.on_host and request.quorum == 0
        return alone or len(humans) >= max(1, request.quorum)

    def _cards_follow(self, now: dict[RequestId, Request]) -> None:
        """A request's cards are out of date exactly when it changed."""
        with self.world.ledger.read() as tx:
            wanted = {r: sum(card.wanted for card in cards.of_subject(tx, "request", r)) for r in now}
        for request, after in now.items():
            before = self.seen.get(request)
            if before is not None and wanted[request]:
                assert (wanted[request] > self.wanted[request]) == (after.version > before.version)
        self.wanted = wanted

    @invariant()
    def every_change_is_told(self) -> None:
        """The audit is whole, has one entry for each version of each request, and agrees with the rows."""
        if not hasattr(self, "world"):
            return
        with self.world.ledger.read() as tx:
            assert audit.verify(tx).problems == ()
            for request in requests.recent(tx):
                versions = audit.details(tx, request.id, "version")
                assert versions == [str(number + 1) for number in range(request.version)]

    @invariant()
    def what_ended_holds_nothing(self) -> None:
        """Locks belong to runs that are not over, leases to requests that are not; one executor at most per request."""
        if not hasattr(self, "world"):
            return
        with self.world.ledger.read() as tx:
            rows = {request.id: request for request in requests.recent(tx)}
            unfinished = {run.id: run for run in runs.unfinished(tx)}
            held, leased = locks.held(tx), {lease.request for lease in leases.held(tx, SLIPS)}
        assert {lock.run for lock in held} <= set(unfinished)
        assert leased == {r.id for r in rows.values() if r.plan is not None and not r.state.ended}
        executors = [run.request for run in unfinished.values() if run.job is Job.EXECUTE]
        assert len(executors) == len(set(executors))
        for request in rows.values():
            queued = [run for run in unfinished.values() if run.request == request.id and run.state is RunState.QUEUED]
            assert not (request.state.ended and queued)


def test_requests_hold_their_promises_whatever_happens() -> None:
    """Short random histories of everything people, processes and time can do."""
    run_state_machine_as_test(Desk, settings=settings(max_examples=6, stateful_step_count=25, deadline=None))


@pytest.mark.full
def test_requests_hold_their_promises_for_long() -> None:
    """The same, many and long."""
    run_state_machine_as_test(Desk, settings=settings(max_examples=300, stateful_step_count=60, deadline=None))

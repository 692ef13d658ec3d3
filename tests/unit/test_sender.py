"""The sender against a Slack that limits, loses and refuses: every card catches up, in order, and no twin has live buttons."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bot import desk
from bot.ledger import alerts, cards, people, requests
from bot.ledger.cards import Card
from bot.model.alerts import Alert, AlertState, Concern, Judged, Severity
from bot.model.conditions.messages import undelivered
from bot.model.ids import RequestId
from bot.model.requests import State
from bot.model.runs import Phase
from bot.slack.client import SlackBusy, call
from bot.slack.pacing import EDITS_KEPT_FOR_DECISIONS, EDITS_PER_MINUTE, POST_GAP_S, Pace
from bot.slack.people import refresh_for_request
from bot.slack.sender import Sender
from bot.slack.subjects import render
from tests.unit.desk_world import ALICE, CAROL, NOON, World, new_world
from tests.unit.slack_world import Posted, Slack

CHANNELS = {"approvals": "CAPPROVE", "results": "CRESULTS", "alerts": "CALERTS"}


class Desk:
    """A world, its Slack, and a sender that looks four times a second of a clock the tests move."""

    def __init__(self, world: World) -> None:
        self.world, self.slack = world, Slack(self.clock)
        self.restart()

    def clock(self) -> float:
        """Return seconds since noon."""
        return (self.world.now - NOON).total_seconds()

    def restart(self) -> None:
        """Begin with a sender that remembers nothing."""
        policies = lambda _: self.world.policy  # noqa: E731
        self.sender = Sender(
            self.world.ledger, self.slack, CHANNELS, policies, lambda: self.world.now, clock=self.clock
        )

    def run(self, seconds: float, every: float = 0.25) -> None:
        """Let the sender work for some seconds, looking `every` so many."""
        end = self.clock() + seconds
        while self.clock() < end:
            while self.sender.step():
                pass
            self.world.later(seconds=every)

    def until_quiet(self, most: float = 120.0) -> float:
        """Let the sender work until nothing is out of date; return how many seconds that took."""
        began = self.clock()
        while self.sender.pending():
            assert self.clock() - began < most
            self.run(0.25)
        return self.clock() - began

    def rows(self) -> list[Card]:
        """Return every card of the ledger."""
        with self.world.ledger.read() as tx:
            rows = [int(row["id"]) for row in tx.query("SELECT id FROM cards ORDER BY id")]
            return [card for row in rows if (card := cards.get(tx, row)) is not None]

    def message(self, card: Card) -> Posted:
        """Return the message a card stands on."""
        assert card.channel is not None
        assert card.ts is not None
        return self.slack.messages[card.channel, card.ts]

    def assert_caught_up(self) -> None:
        """Every card equals the rendering of its row, and every message no card stands on has nothing to press."""
        owned = set()
        for card in self.rows():
            assert card.failed is None
            owned.add((card.channel, card.ts))
            with self.world.ledger.read() as tx:
                wanted = render(tx, card, lambda _: self.world.policy, link=self.link(card))
            assert wanted is not None
            shown = self.message(card).shown
            assert (shown["text"], shown["blocks"]) == (wanted.text, wanted.blocks)
        for place, posted in self.slack.messages.items():
            assert place in owned or not any(
                block["type"] == "actions" for c in posted.history for block in c["blocks"]
            )

    def link(self, card: Card) -> str:
        """Return what a DM that wakes somebody points at."""
        if card.subject_kind != "wake" or not card.place.startswith("dm:"):
            return ""
        with self.world.ledger.read() as tx:
            parent = cards.find(tx, "request", card.subject, "approvals")
        return f"https://slack.test/{parent.channel}/{parent.ts}" if parent else ""


@pytest.fixture
def at() -> Iterator[Desk]:
    """Return a desk of its own for each test."""
    with new_world() as world:
        yield Desk(world)


def test_a_card_is_posted_inert_and_armed_after(at: Desk) -> None:
    """The first message has no buttons; they come by an edit, when the ledger knows where the message is."""
    request = at.world.pending()
    at.until_quiet()
    with at.world.ledger.read() as tx:
        card = cards.find(tx, "request", request.id, "approvals")
    assert card is not None
    message = at.message(card)
    assert [any(b["type"] == "actions" for b in content["blocks"]) for content in message.history] == [False, True]
    assert message.buttons == [("request.approve", request.id), ("request.deny", request.id)]
    at.assert_caught_up()


def test_the_twin_of_a_lost_answer_stays_inert(at: Desk) -> None:
    """An answer lost after the post makes a second message; the first one never gets a button."""
    at.world.pending()
    at.slack.lost = 3
    at.until_quiet()
    assert len(at.slack.messages) > len(at.rows())
    at.assert_caught_up()


def test_decisions_go_before_progress(at: Desk) -> None:
    """With many cards of running work out of date, the card of a decision is the next one sent."""
    requests_ = [at.world.pending() for _ in range(3)]
    at.until_quiet(300)
    runs = []
    for request in requests_[1:]:
        at.world.approve(request.id)
        run = at.world.execute_run(request.id)
        at.world.refresh(ALICE, CAROL)
        at.world.claim(request.id, run.id)
        runs.append(run)
    at.until_quiet(300)
    at.world.later(seconds=120)
    for run in runs:
        desk.progress(at.world.ledger, run.id, at=at.world.now, phases=(), bytes_done=5, bytes_total=10)
    at.world.approve(requests_[0].id)
    seen = len(at.slack.calls)
    at.until_quiet()
    first = at.slack.calls[seen][2]
    assert "approved" in first["text"].splitlines()[0]
    at.assert_caught_up()


def test_progress_is_edited_at_most_every_five_seconds(at: Desk) -> None:
    """A run that moves twice a second for half a minute costs half a dozen edits of its card, and the last one shows its end."""
    _, run = at.world.running()
    at.until_quiet()
    seen = len(at.slack.calls)
    for step in range(60):
        phases = (Phase("fetch", at.world.now, None),)
        desk.progress(at.world.ledger, run.id, at=at.world.now, phases=phases, bytes_done=step, bytes_total=60)
        at.run(0.5, every=0.5)
    at.until_quiet()
    with at.world.ledger.read() as tx:
        (card,) = cards.of_subject(tx, "run", run.id)
    edits = [
        when for when, method, given in at.slack.calls[seen:] if method == "chat.update" and given["ts"] == card.ts
    ]
    assert 5 <= len(edits) <= 8
    assert all(later - earlier >= 5 for earlier, later in itertools.pairwise(edits))
    at.assert_caught_up()


def test_a_limit_is_waited_out_and_nothing_is_lost(at: Desk) -> None:
    """Slack's own limits are never hit by our pace; a 429 from elsewhere stops that method as long as Slack says."""
    for _ in range(6):
        at.world.pending()
    at.slack.refuse["chat.postMessage"] = "ratelimited"
    at.run(1)
    tried = len(at.slack.called("chat.postMessage"))
    assert 1 <= tried <= 2
    at.slack.refuse.clear()
    at.until_quiet()
    at.assert_caught_up()


def test_a_deleted_message_is_posted_anew_with_its_buttons(at: Desk) -> None:
    """Somebody deletes the card in the channel: it comes back, inert and then armed."""
    request = at.world.pending()
    at.until_quiet()
    with at.world.ledger.read() as tx:
        before = cards.find(tx, "request", request.id, "approvals")
    assert before is not None
    assert before.channel is not None
    assert before.ts is not None
    del at.slack.messages[before.channel, before.ts]
    at.world.later(minutes=2)
    desk.wake_due(at.world.ledger, at.world.now, timedelta(minutes=2))
    at.until_quiet()
    with at.world.ledger.read() as tx:
        after = cards.find(tx, "request", request.id, "approvals")
    assert after is not None
    assert after.ts != before.ts
    assert at.message(after).buttons[0] == ("request.approve", request.id)


def look(at: Desk, *concerns: Concern, known: bool = True) -> None:
    """Have the monitor look and see `concerns`; with `known` also what Slack refused."""
    with at.world.ledger.read() as tx:
        refused = [(card.id, card.place, card.failed or "") for card in cards.refused(tx)] if known else []
    judged = Judged(frozenset({("undelivered", ""), ("disk", ""), ("wal-lag", "slips")}))
    desk.observe(at.world.ledger, [*concerns, *undelivered(refused)], judged, at.world.now)


def alert_of(at: Desk, condition: str, subject: str, cluster: str = "") -> Alert:
    """Return an alert's row."""
    with at.world.ledger.read() as tx:
        found = alerts.find(tx, condition, cluster, subject)
    assert found is not None
    return found


def test_what_slack_will_never_take_is_said_among_the_alerts(at: Desk) -> None:
    """A card that cannot be delivered stops being tried, one alert says where and why, and it ends once it is delivered."""
    at.slack.refuse["conversations.open"] = "user_disabled"
    at.world.ask()
    at.until_quiet()
    look(at)
    at.until_quiet()
    (shown,) = at.slack.messages.values()
    assert shown.channel == "CALERTS"
    assert "user_disabled" in shown.shown["text"].replace("\u200b", "")
    assert len(at.slack.called("conversations.open")) == 1
    at.slack.refuse.clear()
    with at.world.ledger.transaction() as tx:
        cards.retry(tx)
    at.until_quiet()
    look(at)
    at.until_quiet()
    assert alert_of(at, "undelivered", "dm:UALICE").state is AlertState.RESOLVED
    at.assert_caught_up()


def test_a_card_that_slack_chokes_on_does_not_stand_in_the_way(at: Desk) -> None:
    """While one card gets no answer ever, others that come later are sent within seconds."""
    at.world.ask()
    at.slack.refuse["conversations.open"] = "fatal_error"
    at.run(60)
    assert not at.slack.messages
    request = at.world.pending()
    at.run(20)
    with at.world.ledger.read() as tx:
        card = cards.find(tx, "request", request.id, "approvals")
    assert card is not None
    assert at.message(card).buttons


def test_an_hour_without_slack(at: Desk) -> None:
    """Requests go on from the host while Slack is away for an hour; back again, every card catches up within 15 s."""
    chance = random.Random(5)
    request = at.world.pending()
    at.until_quiet()
    at.slack.away = True
    for minute in range(60):
        at.run(60, every=0.25 if minute == 0 else 30)
        if minute == 0:
            assert len(at.slack.calls) <= 40
        if minute == 10:
            at.world.approve(request.id)
        if minute == 12:
            run = at.world.execute_run(request.id)
            at.world.refresh(ALICE, CAROL)
            at.world.claim(request.id, run.id)
        if minute > 12:
            done = chance.randrange(100)
            desk.progress(at.world.ledger, run.id, at=at.world.now, phases=(), bytes_done=done, bytes_total=100)
    at.slack.away = False
    assert at.until_quiet() <= 15
    at.assert_caught_up()


LAG = Concern("wal-lag", "slips", "local", Severity.WARN, "local lacks the last hour.", "Does the receiver run?")
FULL = Concern("disk", "", "spool", Severity.PAGE, "The disk of spool has 1 GB left.", "Free space.")


def test_an_hour_of_alerts_without_slack(at: Desk) -> None:
    """While Slack is away an alert opens, worsens, ends and opens again: back again its one card shows the end of it.

    One opened meanwhile is posted inert and armed after; the calls of the worsening and the return stand in its thread.
    """
    look(at, LAG)
    at.until_quiet()
    at.slack.away = True
    for minute in range(60):
        at.run(60, every=30)
        worse = replace(LAG, severity=Severity.PAGE) if 20 < minute < 40 else LAG
        seen = [] if 40 <= minute < 50 else [worse]
        look(at, *seen, *([FULL] if minute >= 30 else []))
    at.slack.away = False
    assert at.until_quiet() <= 20
    at.assert_caught_up()
    alerted = [card for card in at.rows() if card.subject_kind == "alert"]
    assert len(alerted) == 2
    for card in alerted:
        assert at.message(card).history[-1]["blocks"][-1]["type"] == "actions"
    again = alert_of(at, "wal-lag", "local", "slips")
    assert (again.episode, again.state, again.concern.severity) == (2, AlertState.OPEN, Severity.WARN)
    calls = [at.message(card) for card in at.rows() if card.subject_kind == "call"]
    assert len(calls) == 2
    assert not any(call.buttons for call in calls)


def test_the_card_of_an_alert_goes_forward_only(at: Desk) -> None:
    """However an alert moves while answers are lost and Slack is away, its card shows states in order, and no twin is live."""
    chance = random.Random(7)
    told: list[AlertState] = []
    for _ in range(40):
        look(at, *([LAG] if chance.random() < 0.6 else []))
        with at.world.ledger.read() as tx:
            found = alerts.find(tx, "wal-lag", "slips", "local")
        told += [found.state] if found and (not told or told[-1] is not found.state) else []
        at.slack.away, at.slack.lost = chance.random() < 0.3, chance.randrange(2)
        seconds = chance.choice([1, 20])
        at.run(seconds, every=max(0.5, seconds / 10))
    at.slack.away, at.slack.lost = False, 0
    at.until_quiet(600)
    at.assert_caught_up()
    (card,) = [card for card in at.rows() if card.subject_kind == "alert"]
    shown = [_alert_state(content["text"]) for content in at.message(card).history]
    rest = iter(told)
    assert all(state in rest for state in [state for state, _ in itertools.groupby(shown)])


def _alert_state(text: str) -> AlertState:
    return AlertState.RESOLVED if text.startswith("✅") else AlertState.OPEN


def test_each_card_goes_forward_only(at: Desk) -> None:
    """Whatever is lost, limited or away, and whenever the sender is restarted, a message's states come in the request's order."""
    chance = random.Random(11)
    order = {state: number for number, state in enumerate(State)}
    made: list[RequestId] = []
    for _ in range(30):
        _some_word(at, made, chance)
        at.slack.away = chance.random() < 0.3
        at.slack.lost = chance.randrange(2) if chance.random() < 0.3 else 0
        if chance.random() < 0.1:
            at.restart()
        seconds = chance.choice([0.25, 1, 3, 20])
        at.run(seconds, every=max(0.5, seconds / 10))
    at.slack.away, at.slack.lost = False, 0
    at.until_quiet(600)
    at.assert_caught_up()
    for posted in at.slack.messages.values():
        states = [order[found] for content in posted.history if (found := _state(content["text"])) is not None]
        assert states == sorted(states)


def _some_word(at: Desk, made: list[RequestId], chance: random.Random) -> None:
    """Ask for something new, or say the next word on something old."""
    if len(made) < 4 or chance.random() < 0.1:
        made.append(at.world.ask().id)
        return
    request = chance.choice(made)
    with at.world.ledger.read() as tx:
        now = requests.get(tx, request)
    if now.state is State.PLANNING:
        at.world.plan_it(now, directory=f"/restores/{request}")
    elif now.state is State.PROPOSED:
        at.world.confirm(request)
    elif now.state is State.PENDING:
        at.world.approve(request)
    elif now.state is State.APPROVED and chance.random() < 0.5:
        at.world.cancel(request)


def _state(text: str) -> State | None:
    """Return the state a card's headline tells."""
    words = {
        "Planning": State.PLANNING,
        "the plan is ready": State.PROPOSED,
        "waiting for approval": State.PENDING,
        "approved, about to start": State.APPROVED,
        "cancelled": State.CANCELLED,
    }
    title = text.splitlines()[0]
    return next((state for word, state in words.items() if word in title), None)


def test_pace_keeps_slacks_limits_and_room_for_decisions() -> None:
    """One post a second and channel; 48 edits a minute, of which 12 are for decisions alone; 429 blocks its method only."""
    pace = Pace()
    assert pace.may_post("C1", 0)
    pace.posted("C1", 0)
    assert not pace.may_post("C1", POST_GAP_S - 0.01)
    assert pace.may_post("C2", 0.5)
    assert pace.may_post("C1", POST_GAP_S)
    for second in range(EDITS_PER_MINUTE - EDITS_KEPT_FOR_DECISIONS):
        assert pace.may_edit(second / 10, urgent=False)
        pace.edited(second / 10)
    assert not pace.may_edit(5, urgent=False)
    for _ in range(EDITS_KEPT_FOR_DECISIONS):
        assert pace.may_edit(5, urgent=True)
        pace.edited(5)
    assert not pace.may_edit(59, urgent=True)
    assert pace.may_edit(65.1, urgent=True)
    pace.blocked("chat.update", 100)
    pace.blocked("chat.update", 90)
    assert not pace.may_edit(99, urgent=True)
    assert pace.may_post("C1", 99)


def test_a_thread_that_can_never_begin_does_not_wait_for_ever(at: Desk) -> None:
    """When Slack takes neither card of a request, what belongs in its thread is given up too, without an alert of its own."""
    at.slack.refuse["conversations.open"] = "user_disabled"
    request = at.world.pending()
    at.slack.refuse["chat.postMessage"] = "is_archived"
    at.run(5)
    at.slack.refuse.pop("chat.postMessage")
    at.world.approve(request.id)
    run = at.world.execute_run(request.id)
    at.world.refresh(ALICE, CAROL)
    at.world.claim(request.id, run.id)
    at.until_quiet()
    failed = {card.place: card.failed for card in at.rows() if card.failed}
    assert failed[f"thread:request:{request.id}"] == "thread_not_found"
    look(at)
    refused = {place: alert_of(at, "undelivered", place).state for place in ("approvals", "dm:UALICE")}
    assert refused == dict.fromkeys(("approvals", "dm:UALICE"), AlertState.OPEN)
    with pytest.raises(AssertionError):
        alert_of(at, "undelivered", f"thread:request:{request.id}")


@pytest.mark.parametrize("header", ["retry-after", "Retry-After"])
@pytest.mark.parametrize(
    ("said", "seconds"), [("30", 30), ("0", 1), ("soon", 1), ("1e9", 1), ("999999", 600), ("-5", 1)]
)
def test_how_long_slack_asks_to_wait_is_read_with_care(header: str, said: str, seconds: float) -> None:
    """The header counts whatever its case; nonsense is a second, and nothing stops the sender for more than ten minutes."""
    slack = Slack()
    slack.limited = {header: said}
    with pytest.raises(SlackBusy) as caught:
        call(slack, "chat.postMessage", channel="C", text="x")
    assert (caught.value.retry_after_s, caught.value.limited, caught.value.maybe_done) == (seconds, True, False)


def test_being_limited_is_not_being_away(at: Desk) -> None:
    """Slack asking us to wait does not loosen the rules for a claim; only a Slack that does not answer does."""
    request = at.world.approved()
    for limited, away, noted in ((True, False, False), (False, True, True), (False, False, False)):
        at.slack.limited = {"Retry-After": "5"} if limited else None
        at.slack.away = away
        refresh_for_request(at.slack, at.world.ledger, request=request, policy=at.world.policy, at=at.world.now)
        with at.world.ledger.read() as tx:
            assert people.slack_away(tx) is noted

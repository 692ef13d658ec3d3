"""The life of an alert: opened, acknowledged, snoozed, over, and back; and that runs carry theirs with them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import desk
from bot.errors import Conflict, Refused, Usage
from bot.ledger import alerts, audit, cards
from bot.model import alerts as life
from bot.model.alerts import Alert, AlertState, Concern, Judged, Severity
from bot.model.ids import AlertId
from bot.model.runs import Job, Run
from tests.sweeps import examples
from tests.unit.desk_world import CAROL, GUEST, NOON, ROOT, SLIPS, World, facts, new_world

LAG = Concern("wal-lag", "slips", "local", Severity.WARN, "local is behind.", "Look.")
FAILED = Concern("run-failed", "slips", "dump", Severity.WARN, "It failed.", "Look.", occurrence="run-1")
HERE = Judged(frozenset({("wal-lag", "slips")}))


def opened(concern: Concern = LAG) -> Alert:
    """Return an alert opened at noon."""
    return life.opened(AlertId("a0000000"), concern, NOON)


@pytest.fixture
def world() -> Iterator[World]:
    """Return a world of its own for each test."""
    with new_world() as made:
        yield made


steps = st.lists(
    st.tuples(
        st.sampled_from(["see", "gone", "acknowledge", "snooze", "resolve", "lapse"]),
        st.sampled_from(Severity),
        st.sampled_from(["", "one", "two"]),
        st.integers(1, 120),
    ),
    max_size=25,
)


@examples(300)
@given(first=st.sampled_from(Severity), events=steps)
def test_whatever_happens_an_alert_keeps_its_promises(
    first: Severity, events: list[tuple[str, Severity, str, int]]
) -> None:
    """Versions count changes one by one; what is seen and nobody took is open; what got worse is never hidden."""
    alert, now = opened(replace(LAG, severity=first)), NOON
    for word, severity, occurrence, minutes in events:
        now += timedelta(minutes=minutes)
        before, concern = alert, replace(LAG, severity=severity, occurrence=occurrence)
        try:
            alert = _after(alert, word, concern, now)
        except Conflict:
            assert before.state is AlertState.RESOLVED
        assert alert.version in ({before.version + 1} if alert is not before else {before.version})
        assert alert.episode - before.episode in {0, 1}
        assert (alert.snoozed_until is not None) == (alert.state is AlertState.SNOOZED)
        assert (alert.resolved_at is not None) == (alert.state is AlertState.RESOLVED)
        if word == "see":
            assert alert.state is not AlertState.RESOLVED or (occurrence and occurrence == before.concern.occurrence)
            if severity.rank > before.worst.rank:
                assert alert.state is AlertState.OPEN
                assert alert.episode > before.episode or alert.calls > before.calls
            if before.state is AlertState.SNOOZED and before.snoozed_until and before.snoozed_until <= now:
                assert alert.state is AlertState.OPEN
        if word == "gone":
            assert alert.state is AlertState.RESOLVED


def _after(alert: Alert, word: str, concern: Concern, now: datetime) -> Alert:
    match word:
        case "see":
            return life.seen(alert, concern, now)
        case "gone":
            return life.over(alert, now)
        case "acknowledge":
            return life.acknowledge(alert, "Bob", now)
        case "snooze":
            return life.snooze(alert, "Bob", now + timedelta(hours=1), now)
        case "resolve":
            return life.resolve(alert, "Bob", now)
        case _:
            return life.lapse(alert, now)


def test_an_acknowledged_alert_stays_quiet_until_it_gets_worse() -> None:
    """Seen again as it was it changes nothing; as a page it opens and calls once more, and a page is not called twice."""
    taken = life.acknowledge(opened(), "Bob", NOON)
    assert life.seen(taken, LAG, NOON + timedelta(hours=1)) is taken
    worse = life.seen(taken, replace(LAG, severity=Severity.PAGE), NOON + timedelta(hours=2))
    assert (worse.state, worse.calls, worse.by) == (AlertState.OPEN, 2, "")
    better = life.seen(worse, LAG, NOON + timedelta(hours=3))
    assert life.seen(better, replace(LAG, severity=Severity.PAGE), NOON + timedelta(hours=4)).calls == 2


def test_a_condition_cannot_be_wished_away_but_an_event_can() -> None:
    """Resolved by hand, what still holds opens again at the next look; a failed run stays settled until another one fails."""
    assert life.seen(life.resolve(opened(), "Bob", NOON), LAG, NOON).state is AlertState.OPEN
    settled = life.resolve(opened(FAILED), "Bob", NOON)
    assert life.seen(settled, FAILED, NOON) is settled
    assert life.seen(settled, replace(FAILED, occurrence="run-2"), NOON).episode == 2


def test_numbers_that_move_do_not_rewrite_a_card_every_minute() -> None:
    """The same condition in other words is taken over ten minutes after the last change, not before."""
    alert, moved = opened(), replace(LAG, sentence="local is further behind.")
    assert life.seen(alert, moved, NOON + timedelta(minutes=9)) is alert
    assert life.seen(alert, moved, NOON + timedelta(minutes=10)).concern == moved


def test_a_snooze_is_at_most_a_week() -> None:
    """Longer, or into the past, is refused in words."""
    for until in (NOON, NOON + timedelta(days=7, seconds=1)):
        with pytest.raises(Usage, match="7 days"):
            life.snooze(opened(), "Bob", until, NOON)


def seen(world: World, *concerns: Concern, judged: Judged = HERE) -> list[Alert]:
    """Have a look taken."""
    return desk.observe(world.ledger, concerns, judged, world.now)


def only(world: World) -> Alert:
    """Return the only alert there is."""
    with world.ledger.read() as tx:
        (found,) = alerts.list(tx)
    return found


def wanted(world: World) -> dict[tuple[str, str], int]:
    """Return how often each card was wanted."""
    with world.ledger.read() as tx:
        return {(row["subject_kind"], row["place"]): row["wanted"] for row in tx.query("SELECT * FROM cards")}


def test_a_condition_has_one_row_and_one_card_for_good(world: World) -> None:
    """Opened, over and open again: the same row and card; only the return calls, in the card's thread."""
    seen(world, LAG)
    world.later(minutes=5)
    seen(world, LAG)
    seen(world)
    assert only(world).state is AlertState.RESOLVED
    world.later(minutes=5)
    seen(world, LAG)
    alert = only(world)
    assert (alert.state, alert.episode) == (AlertState.OPEN, 2)
    assert wanted(world) == {("alert", "alerts"): 3, ("call", f"thread:alert:{alert.id}"): 1}
    assert world.audited() == ["alert.open", "alert.resolve", "alert.open"]


def test_what_could_not_be_judged_stays_as_it_is(world: World) -> None:
    """With the server down nobody knows about its slots: their alerts neither end nor change."""
    slot = Concern("slot", "slips", "pitstop_slips", Severity.PAGE, "It is lost.", "")
    seen(world, LAG, slot)
    seen(world, LAG)
    seen(world, judged=Judged(frozenset({("slot", "other")})))
    with world.ledger.read() as tx:
        assert [alert.state for alert in alerts.list(tx)] == [AlertState.OPEN, AlertState.OPEN]


def test_a_snooze_ends_although_nobody_looks(world: World) -> None:
    """A failed run is told once, not seen again: its alert opens when the snooze is up, at whatever look comes next."""
    seen(world, FAILED)
    desk.snooze_alert(world.ledger, world.caller(), only(world).id, span=timedelta(hours=1))
    seen(world)
    assert only(world).state is AlertState.SNOOZED
    world.later(hours=1)
    seen(world)
    assert (only(world).state, only(world).calls) == (AlertState.OPEN, 2)


def test_who_may_acknowledge(world: World) -> None:
    """Whoever may ask or approve, and the host; a guest is refused and audited, and where nobody may ask an approver still may."""
    seen(world, LAG)
    with pytest.raises(Refused):
        guest = world.caller(GUEST, facts=facts(GUEST, world.now, guest=True))
        desk.acknowledge_alert(world.ledger, guest, only(world).id)
    world.policy = replace(world.policy, requesters=())
    with pytest.raises(Refused, match="Who may: UCAROL, UDAN"):
        desk.acknowledge_alert(world.ledger, world.caller(), only(world).id)
    for person in (CAROL, ROOT):
        assert desk.acknowledge_alert(world.ledger, world.caller(person), only(world).id).by == "Carol"
    assert world.audited().count("alert.acknowledge.refused") == 2


def test_a_key_answers_the_same_twice(world: World) -> None:
    """Slack delivers a click twice: the alert is resolved once, and the second answer is the first one's."""
    seen(world, FAILED)
    said = world.caller()
    one = desk.resolve_alert(world.ledger, said, only(world).id)
    assert desk.resolve_alert(world.ledger, said, one.id) == one
    with pytest.raises(Conflict, match="over"):
        desk.acknowledge_alert(world.ledger, world.caller(), one.id)


def run_of(world: World, job: Job) -> Run:
    """Queue and start a run."""
    run = desk.queue_run(
        world.ledger, job=job, cluster=SLIPS, args={}, by="pitstop", at=world.now, entropy=world.entropy()
    )
    return desk.start_run(world.ledger, run.id, world.now)


def test_failures_of_a_job_share_one_alert_that_its_success_ends(world: World) -> None:
    """Three failures in a row: one row, one card, the newest's words; the next success ends it; another job's does not."""
    for number in range(3):
        run = run_of(world, Job.DUMP)
        desk.fail_run(world.ledger, run.id, {"code": "x", "message": f"No. {number}", "hint": "Why?"}, world.now)
        world.later(minutes=1)
    assert "No. 2" in only(world).concern.sentence
    assert only(world).concern.fix == "Why?"
    desk.finish_run(world.ledger, run_of(world, Job.BASE_BACKUP).id, {}, world.now)
    assert only(world).state is AlertState.OPEN
    desk.finish_run(world.ledger, run_of(world, Job.DUMP).id, {}, world.now)
    assert only(world).state is AlertState.RESOLVED
    assert [place for kind, place in wanted(world) if kind == "alert"] == ["alerts"]


def test_what_a_request_tells_is_no_alert_of_its_own(world: World) -> None:
    """A recovery that fails has its request's card among the alerts; there is no second word for it."""
    request, run = world.running()
    desk.fail_run(world.ledger, run.id, {"code": "x", "message": "It broke.", "hint": ""}, world.now)
    with world.ledger.read() as tx:
        assert alerts.list(tx) == []
        assert cards.find(tx, "request", request.id, "alerts") is not None


def test_a_receiver_that_ended_is_told_at_once(world: World) -> None:
    """The first word comes with its end, not with the next look; a flapping one keeps the one alert."""
    for _ in range(2):
        run = run_of(world, Job.WAL_STREAM)
        desk.interrupt_run(world.ledger, run.id, world.now, "It died.")
    assert only(world).concern.key == ("receiver-down", "slips", "")
    assert "It died." in only(world).concern.sentence


def test_rows_of_alerts_come_back_as_they_were(world: World) -> None:
    """Every field survives the ledger, the worst first in the list, a cluster's with the host's."""
    chance = random.Random(3)
    made = [
        Concern(f"c{number}", chance.choice(["slips", "other", ""]), "s", chance.choice(list(Severity)), "x", "y", "z")
        for number in range(12)
    ]
    opened_ = seen(world, *made)
    with world.ledger.read() as tx:
        assert {alert.id: alert for alert in alerts.list(tx)} == {alert.id: alert for alert in opened_}
        ranks = [alert.concern.severity.rank for alert in alerts.list(tx)]
        assert ranks == sorted(ranks, reverse=True)
        assert {alert.concern.cluster for alert in alerts.list(tx, cluster="slips")} <= {"slips", ""}
        assert audit.verify(tx).intact

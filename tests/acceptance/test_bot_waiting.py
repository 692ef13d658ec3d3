"""What time does: approvers are woken, requests lapse, also while nobody runs, and a missed backup is caught up once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from bot.model.requests import State
from bot.model.runs import Job, RunState
from bot.sandbox.driver import Message
from bot.slack import forms
from bot.slack.cards import actions
from tests.acceptance.office import NORMAL, Office, open_office

pytestmark = pytest.mark.pg

HASTY = {**NORMAL, "expires": "20s", "wake_after": "1s"}


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """An office in a hurry: approvers are woken after a second, and after twenty it is too late."""
    with open_office(start=False) as opened:
        opened.configure(approval=HASTY)
        opened.start_bot()
        opened.backed_up()
        yield opened


def _calls_to(office: Office, who: str) -> list[Message]:
    return [m for m in office.driver.dm(who) if "waits for your decision" in m.text]


def test_approvers_are_woken_and_a_request_lapses_also_while_nobody_runs(office: Office) -> None:
    """Nobody decides: both approvers get a message with a link, the channel a second mention, the requester is told.

    The bot is dead when the time is up; after its new start the card says so, Approve is gone, and Ask again is filled in.
    """
    request, card = office.pend("nok", "latest", "is anybody there?")
    for who in ("somchai", "ploy"):
        office.until(partial(_calls_to, office, who), f"a call to {who}")
        [call] = _calls_to(office, who)
        assert "is anybody there?" in call.text
        assert "|Read the plan and decide>" in call.text
        assert not call.buttons, "the plan is read before anything is pressed"
    second = office.card(request, f"thread:request:{request}", text="nobody has decided yet", kind="wake")
    assert "<!subteam^S0DBAS>" in second.text
    assert second.thread_ts == card.ts
    told = office.card(request, "dm:U0NOK", text="They were woken at")
    assert "2 people asked, nobody yet." in told.text
    assert not _calls_to(office, "nok"), "whoever asked is not asked"

    office.kill_bot()
    expires = office.request(request).expires_at
    assert expires
    while datetime.now(UTC) < expires:
        time.sleep(0.2)
    assert office.request(request).state is State.PENDING
    office.start_bot()
    outcome = office.reaches(request, State.EXPIRED, timeout_s=15).outcome
    assert outcome
    assert outcome["message"] == "Nobody decided in time."
    lapsed = office.card(request, "approvals", actions.ASK_AGAIN, text="⌛")
    assert not lapsed.has_button(actions.APPROVE)
    assert office.driver.click("nok", office.card(request, "dm:U0NOK", actions.ASK_AGAIN), actions.ASK_AGAIN).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.PITR_FORM), None), "the form"
    )
    filled = {element["block_id"]: element.get("initial_value") for element in form.elements}
    assert filled[forms.REASON] == "is anybody there?"
    office.driver.close_view("nok", form)
    office.until(lambda: not office.out_of_step(), "the cards", 30)


def test_a_missed_daily_backup_is_caught_up_once_at_the_start(office: Office) -> None:
    """The bot was down for three days at the hour of the backup: one base backup at the start, not two, although it is killed."""
    office.stop_bot()
    before = len(office.runs(Job.BASE_BACKUP))
    an_hour_ago = datetime.now(ZoneInfo("Asia/Bangkok")) - timedelta(hours=1)
    first_seen = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    with office.ledger.transaction() as tx:
        name = "schedule-since:slips:base-backup"
        tx.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", [name, first_seen])
    office.configure(base_backup=f"{an_hour_ago.minute} {an_hour_ago.hour} * * *")
    office.start_bot()
    office.until(lambda: len(office.runs(Job.BASE_BACKUP)) > before, "the missed backup")
    told = office.answer_to("nok", "/backup now slips")
    office.kill_bot()
    office.start_bot()
    office.until(lambda: office.runs(Job.BASE_BACKUP)[0].state is RunState.SUCCEEDED, "the missed backup's end")
    scheduled = [run for run in office.runs(Job.BASE_BACKUP) if run.scheduled_for]
    assert [run.queued_by for run in scheduled] == ["pitstop"]
    assert scheduled[0].scheduled_for == an_hour_ago.date().isoformat()
    if "Nothing was queued" in told:
        assert len(office.runs(Job.BASE_BACKUP)) == before + 1
    taken = sorted(office.runs(Job.BASE_BACKUP, RunState.SUCCEEDED), key=lambda run: run.queued_at)
    for earlier, later in pairwise(taken):
        assert earlier.finished_at
        assert later.started_at
        assert earlier.finished_at <= later.started_at, "never two of a kind on one cluster"
    card = office.card(scheduled[0].id, "results", text="✅", kind="run")
    assert "on schedule" in card.text

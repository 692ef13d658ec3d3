"""`/backup`, `/pitr` and everything that can be pressed on the way, as people type, press and read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest

from bot.model.requests import State
from bot.model.servers import ServerState
from bot.sandbox.driver import Message, View
from bot.slack import forms
from bot.slack.cards import actions
from tests.acceptance.office import APPROVALS, RESULTS, Office, open_office

pytestmark = pytest.mark.pg

STAFF = ["nok", "somchai", "ploy", "malee", "U0PITSTOP"]


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """One office for the whole conversation, with a base backup that somebody asked for."""
    with open_office() as opened:
        opened.backed_up()
        yield opened


# -- /backup -----------------------------------------------------------------------------------------------------------


def test_backup_shows_how_safe_each_cluster_is(office: Office) -> None:
    """`/backup` says of every cluster whether it could be brought back, and only the person who asked sees it."""
    status = office.answer_to("nok", "/backup")
    assert "Is everything recoverable?" in status
    assert re.search(r"\*slips\* (✅|⚠️)", status), status
    assert "Last backup" in status
    assert "*orphan* ❌ cannot be restored" in status
    assert "`/backup now orphan`" in status
    assert not any("recoverable?" in message.text for message in office.driver.messages(RESULTS))


def test_backup_now_has_a_card_in_the_results_channel(office: Office) -> None:
    """`/backup now` answers at once, and its card in the results channel ends with the backup's id, size and time."""
    told = office.answer_to("somchai", "/backup now slips")
    run = re.search(r"queued as run `([^`]+)`", told)
    assert run, told
    done = office.card(run[1], "results", text="✅", kind="run")
    assert re.search(r"\*Backup\* `\d{8}T\d{6}Z-base-[0-9a-f]+`", done.text), done.text
    assert "read, " in done.text
    assert "stored, encrypted" in done.text
    assert "<@U0SOMCHAI>" in done.text
    listed = office.answer_to("nok", "/backup list slips")
    backup = re.search(r"`(\d{8}T\d{6}Z-base-[0-9a-f]+)`", done.text)
    assert backup
    assert backup[1] in listed
    assert "Recovery window" in listed


def test_a_dump_now_says_what_it_holds(office: Office) -> None:
    """`/backup now slips dump` ends as a card with the dump's id, each database, its tables and rows; the list shows it."""
    told = office.answer_to("somchai", "/backup now slips dump")
    run = re.search(r"Dump of `slips` queued as run `([^`]+)`", told)
    assert run, told
    done = office.card(run[1], "results", text="✅", kind="run")
    assert "Dump of slips: done" in done.text
    assert re.search(r"• `\w+`: \d+ tables?, [\d,]+ rows", done.text), done.text
    backup = re.search(r"`(\d{8}T\d{6}Z-dump-[0-9a-f]+)`", done.text)
    assert backup, done.text
    assert backup[1] in office.answer_to("nok", "/backup list slips")
    assert "Last dump" in office.answer_to("nok", "/backup status slips")


def test_help_shows_lines_that_can_be_typed(office: Office) -> None:
    """`/backup help` and `/pitr help` list what can be typed, with the name of a cluster that exists."""
    assert "`/backup now orphan` make a base backup now" in office.answer_to("nok", "/backup help")
    pitr = office.answer_to("nok", "/pitr help")
    assert "`/pitr orphan before:xid:84213` just before a transaction" in pitr
    assert "Times: `14:30`" in pitr


# -- the form ----------------------------------------------------------------------------------------------------------


def _form(office: Office, who: str = "nok") -> View:
    """Wait until the loading view has become the form, and return it."""
    return office.see(
        lambda d: next((v for v in d.open_views(who) if v.callback_id == actions.PITR_FORM), None), "the form"
    )


def _filled(view: View) -> dict[str, str]:
    """Return what a form is filled in with, by block id."""
    found = {}
    for element in view.elements:
        option = element.get("initial_option")
        found[element["block_id"]] = option["value"] if option else element.get("initial_value", "")
    return found


def test_pitr_alone_opens_a_form_that_makes_the_plan_of_the_typed_command(office: Office) -> None:
    """The form loads, refuses what it cannot read at its input, and leads to the very plan that typing leads to."""
    [(lsn,)] = office.sql("SELECT pg_current_wal_insert_lsn()::text")
    office.sql("INSERT INTO slips VALUES (1001, 'after the target')")
    office.types("nok", "/pitr")
    form = _form(office)
    assert _filled(form)[forms.CLUSTER] == ""
    assert {o["value"] for o in office.driver.options("nok", form, actions.CLUSTER_OPTIONS, "sl")} == {"slips"}

    refused = office.driver.submit("nok", form, {forms.CLUSTER: "slips", forms.TARGET: "half past two"})
    assert "not a time I can read" in refused.errors[forms.TARGET]
    assert _form(office).id == form.id, "the form stays open for a better word"
    empty = office.driver.submit("nok", form, {forms.TARGET: ""})
    assert empty.errors[forms.TARGET].startswith("Write a target or pick a time.")

    before = len(office.driver.dm("nok"))
    sent = office.driver.submit("nok", form, {forms.TARGET: f"lsn:{lsn}", forms.REASON: "rehearsal"})
    assert sent.acked
    assert not sent.errors
    card = office.see(
        lambda d: next((m for m in d.dm("nok")[before:] if m.has_button(actions.CONFIRM)), None), "the form's plan"
    )
    by_form = office.request(_subject(office, card.ts))
    typed, _ = office.propose("nok", f"lsn:{lsn}", "rehearsal")
    by_hand = office.request(typed)
    assert by_form.plan is not None
    assert by_hand.plan is not None
    assert by_form.plan.steps.recovery.target == by_hand.plan.steps.recovery.target
    assert by_form.plan.steps.chain == by_hand.plan.steps.chain
    assert (by_form.reason, by_form.target_text) == (by_hand.reason, by_hand.target_text)


def test_a_picked_minute_is_read_as_utc_and_said_in_the_persons_zone(office: Office) -> None:
    """The picker gives an instant; the plan or its refusal says how it was read."""
    office.types("nok", "/pitr slips")
    form = _form(office)
    assert _filled(form)[forms.CLUSTER] == "slips"
    assert "Asia/Bangkok" in form.full_text
    long_ago = 1_700_000_000
    assert not office.driver.submit("nok", form, {forms.AT: long_ago}).errors
    told = office.see(
        lambda d: next(
            (m for m in d.dm("nok") if "2023-11-15 05:13:20 Asia/Bangkok = 2023-11-14 22:13:20 UTC" in m.text), None
        ),
        "how it was read",
    )
    assert told


def _subject(office: Office, ts: str) -> Any:
    with office.ledger.read() as tx:
        [row] = list(tx.query("SELECT subject FROM cards WHERE ts = ?", [ts]))
    return row["subject"]


# -- the whole way -----------------------------------------------------------------------------------------------------


def test_the_whole_way_from_asking_to_removing_the_copy(office: Office) -> None:
    """Asked for, confirmed, approved by a second person, carried out; the result can be looked at, kept, stopped and removed."""
    [(xid,)] = office.sql("INSERT INTO slips VALUES (2000, 'wrong') RETURNING pg_current_xact_id()::text")
    request, plan = office.propose("nok", f"before:xid:{xid}", "somebody wrote 2000 & <that> is *wrong*")
    assert "Reason* somebody wrote 2000 &amp; &lt;that&gt; is" in plan.text
    assert f"*First left out* transaction `{xid}`" in plan.text
    assert "nothing is overwritten, the live cluster is not touched" in plan.text
    assert office.driver.click("nok", plan, actions.CONFIRM).acked

    card = office.card(request, "approvals", actions.APPROVE)
    assert "<!subteam^S0DBAS>: please read the plan and decide. 1 approval of 1 still needed." in card.text
    asker = office.card(request, "dm:U0NOK", text="2 people asked, nobody yet")
    assert asker.has_button(actions.CANCEL)
    assert office.driver.click("somchai", card, actions.APPROVE).acked
    office.reaches(request, State.SUCCEEDED)

    done = office.card(request, "approvals", actions.EXTEND, text="✅")
    assert "*Approved by* <@U0SOMCHAI>" in done.text
    [progress] = [
        m for m in office.driver.messages(APPROVALS, thread_ts=done.ts) if "Recovery of slips" in m.text and m.thread_ts
    ]
    office.until(
        lambda: "✅" in (office.driver.message(APPROVALS, progress.ts) or progress).text, "the thread's last word"
    )
    steps = (office.driver.message(APPROVALS, progress.ts) or progress).text
    assert re.search(r"✓ fetch, \d", steps), steps
    assert re.search(r"✓ recover, \d", steps), steps
    told = office.card(request, "results", text="✅")
    assert not told.buttons, "the results channel tells; its buttons are on the cards of the people concerned"

    beside = office.card(request, f"thread:request:{request}", actions.REMOVE, kind="server")
    assert beside.thread_ts == done.ts
    assert re.search(r"It holds [\d.]+ MB of disk", beside.text), beside.text
    found = re.search(r'psql "([^"]+)"', beside.text)
    assert found
    with psycopg.connect(found[1]) as copy:
        assert copy.execute("SELECT count(*) FROM slips WHERE n = 2000").fetchone() == (0,)
        assert copy.execute("SELECT count(*) FROM slips WHERE n <= 1000").fetchone() == (1000,)
    assert office.sql("SELECT count(*) FROM slips WHERE n = 2000") == [(1,)], "production is as it was"

    server = office.server_beside(request)
    assert office.driver.click("nok", beside, actions.EXTEND).acked
    office.until(lambda: office.server_beside(request).expires_at > server.expires_at, "a longer life")
    stopping = office.card(request, "approvals", actions.STOP)
    assert office.driver.click("somchai", stopping, actions.STOP).acked
    office.until(lambda: office.server_beside(request).state is ServerState.STOPPED, "the copy's end")
    removing = office.card(request, "dm:U0NOK", actions.REMOVE, text="The server is stopped")
    assert not removing.has_button(actions.STOP)
    assert office.driver.click("nok", removing, actions.REMOVE).acked
    gone = office.card(request, "approvals", text="its copy of the data are gone")
    assert not gone.buttons
    assert not any((office.home / "restores").iterdir())


# -- saying no ---------------------------------------------------------------------------------------------------------


def _deny(office: Office, who: str, card: Message, reason: str) -> None:
    assert office.driver.click(who, card, actions.DENY).acked
    form = office.see(
        lambda d: next((v for v in d.open_views(who) if v.callback_id == actions.DENY_FORM), None), "the form"
    )
    assert office.driver.submit(who, form, {forms.REASON: ""}).errors, "a reason is needed"
    done = office.driver.submit(who, form, {forms.REASON: reason})
    assert done.acked
    assert not done.errors


def test_deny_with_a_reason_and_ask_again(office: Office) -> None:
    """An approver says no with a reason, the requester reads it, and asks again with everything filled in."""
    request, card = office.pend("nok", "latest", "to look at yesterday's slips")
    _deny(office, "ploy", card, "use the <read replica> & be quick")
    denied = office.card(request, "dm:U0NOK", actions.ASK_AGAIN, text="✋")
    assert "<@U0PLOY> said no: use the &lt;read replica&gt; &amp; be quick. Nothing was done." in denied.text
    assert not office.card(request, "approvals", actions.ASK_AGAIN).has_button(actions.APPROVE)
    assert office.driver.click("nok", denied, actions.ASK_AGAIN).acked
    form = _form(office)
    assert _filled(form) == {
        forms.CLUSTER: "slips",
        forms.TARGET: "latest",
        forms.AT: "",
        forms.REASON: "to look at yesterday's slips",
    }
    office.driver.close_view("nok", form)


def test_the_requester_changes_the_reason_and_cancels(office: Office) -> None:
    """A plan without a reason cannot be sent; the form asks for one; the requester may take it back until it is done."""
    request, plan = office.propose("nok", "latest", reason="")
    assert not plan.has_button(actions.CONFIRM)
    assert office.driver.click("nok", plan, actions.REASON).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.REASON_FORM), None), "the form"
    )
    assert not office.driver.submit("nok", form, {forms.REASON: "the auditors ask"}).errors
    card = office.card(request, "approvals", actions.APPROVE)
    assert "*Reason* the auditors ask" in card.text
    own = office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔")
    assert office.driver.click("nok", own, actions.CANCEL).acked
    cancelled = office.card(request, "approvals", text="⏹️")
    assert not cancelled.has_button(actions.APPROVE)
    assert office.request(request).state is State.CANCELLED


# -- who may not -------------------------------------------------------------------------------------------------------


def test_who_may_not_decide_is_refused_at_the_click(office: Office) -> None:
    """The requester, a guest, a stranger, and who was deactivated, made a bot or left the group while the click was on its way."""
    request, card = office.pend()
    office.driver.change_channel(APPROVALS, members=[*STAFF, "kit", "alex"])
    assert "You asked for this yourself; somebody else has to decide." in office.press("nok", card, actions.APPROVE)
    assert "Guests may not do this." in office.press("kit", card, actions.APPROVE)
    assert "another workspace" in office.press("alex", card, actions.APPROVE)
    for fact, sentence in (("deleted", "This account is deactivated."), ("is_bot", "Bots may not do this.")):
        with _on_its_way(office, "ploy", card, actions.APPROVE):
            office.driver.change_person("ploy", **{fact: True})
        office.until(partial(_last_refusal_says, office, sentence), sentence)
        office.driver.change_person("ploy", **{fact: False})
    with _on_its_way(office, "ploy", card, actions.APPROVE):
        office.driver.change_group("dbas", ["somchai"])
    office.until(partial(_last_refusal_says, office, "You are not one of the approvers."), "the group's change")
    office.driver.change_group("dbas", ["somchai", "ploy"])
    office.driver.change_channel(APPROVALS, members=STAFF)
    codes = [refusal["code"] for refusal in office.refusals("request.approve")]
    assert codes[-6:] == ["self-approval", "guest", "stranger", "deactivated", "bot", "not-approver"]
    assert office.request(request).state is State.PENDING
    assert office.card(request, "approvals", actions.APPROVE)
    _deny(office, "somchai", office.card(request, "approvals", actions.APPROVE), "enough of it")
    office.reaches(request, State.DENIED)


def _last_refusal_says(office: Office, sentence: str) -> bool:
    return bool(office.refusals("request.approve")[-1]["message"] == sentence)


class _on_its_way:  # noqa: N801 - reads as words in a with statement
    """Press a button whose click reaches the bot a second later: what happens in the block happens meanwhile."""

    def __init__(self, office: Office, who: str, card: Message, action: str) -> None:
        self._office, self._who, self._card, self._action = office, who, card, action
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> None:
        self._office.driver.fault("late", kind="interactive", seconds=1.0)
        sent = len(self._office.driver.deliveries())
        self._click = self._pool.submit(self._office.driver.click, self._who, self._card, self._action)
        self._office.until(lambda: len(self._office.driver.deliveries()) > sent, "the click leaving", 10)

    def __exit__(self, *_: object) -> None:
        assert self._click.result().acked
        self._pool.shutdown()


def test_guests_may_not_ask(office: Office) -> None:
    """A guest in the results channel can neither ask nor make a backup nor read how safe the clusters are."""
    for words in ("/pitr slips latest", "/backup now slips", "/backup"):
        assert "Guests may not do this." in office.answer_to("kit", words), words
    office.types("kit", "/pitr")
    refused = office.see(
        lambda d: next((v for v in d.open_views("kit") if "Guests" in v.full_text), None), "the refusal"
    )
    office.driver.close_view("kit", refused)


# -- races -------------------------------------------------------------------------------------------------------------


def test_a_form_that_is_sent_too_late_says_who_was_faster(office: Office) -> None:
    """While Ploy writes why not, Nok takes the request back: Ploy's form changes nothing and says so."""
    request, card = office.pend()
    assert office.driver.click("ploy", card, actions.DENY).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("ploy") if v.callback_id == actions.DENY_FORM), None), "the form"
    )
    own = office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔")
    assert office.driver.click("nok", own, actions.CANCEL).acked
    office.reaches(request, State.CANCELLED)
    before = len(office.driver.dm("ploy"))
    assert office.driver.submit("ploy", form, {forms.REASON: "no"}).acked
    told = office.see(lambda d: d.dm("ploy")[before:], "what became of it")
    assert "Nok Srisai cancelled this" in told[-1].text


def test_of_two_clicks_at_once_one_wins_and_the_other_is_told_who(office: Office) -> None:
    """Somchai and Ploy press Approve together: one approval decides, the loser reads who won; and Nok stops what had begun."""
    request, card = office.pend()
    own = office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔")
    with ThreadPoolExecutor(2) as pool:
        clicks = [pool.submit(office.driver.click, who, card, actions.APPROVE) for who in ("somchai", "ploy")]
        assert all(click.result().acked for click in clicks)
    office.until(lambda: office.request(request).decisions, "an approval")
    assert office.driver.click("nok", own, actions.CANCEL).acked
    [decision] = office.request(request).decisions
    winner = {"U0SOMCHAI": "Somchai Prasert", "U0PLOY": "Ploy Kittisak"}[decision.by.user]
    loser = "ploy" if decision.by.user == "U0SOMCHAI" else "somchai"
    told = office.see(lambda d: next((m for m in d.ephemerals(loser, APPROVALS) if winner in m.text), None), "who won")
    assert told.text.startswith(f"{winner} approved this")
    [refusal] = [r for r in office.refusals("request.approve") if r["code"] == "not-pending"]
    assert refusal["message"].startswith(f"{winner} approved this")
    office.reaches(request, State.CANCELLED)
    office.until(lambda: not any((office.home / "restores").iterdir()), "what had begun being undone")


def test_what_slack_delivers_twice_happens_once(office: Office) -> None:
    """A command and clicks arrive three times, as Slack may deliver them: one request, one decision, one word in the audit."""
    office.driver.fault("duplicate", kind="slash_commands", copies=2, after=0.2)
    with office.ledger.read() as tx:
        before = tx.execute("SELECT count(*) FROM requests").fetchone()[0]
    request, plan = office.propose()
    office.driver.fault("duplicate", kind="interactive", count=2, copies=2, after=0.1)
    assert office.driver.click("nok", plan, actions.CONFIRM).acked
    card = office.card(request, "approvals", actions.APPROVE)
    assert office.driver.click("nok", office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔"), actions.CANCEL).acked
    office.reaches(request, State.CANCELLED)
    assert card
    with office.ledger.read() as tx:
        assert tx.execute("SELECT count(*) FROM requests").fetchone()[0] == before + 1
    words = [word for word in office.audited(request) if word.startswith("request.")]
    assert words == ["request.ask", "request.propose", "request.confirm", "request.cancel"]


def test_a_click_that_arrives_after_the_end_is_told_what_happened(office: Office) -> None:
    """A button of a card that has changed meanwhile decides nothing, and says who decided."""
    request, card = office.pend()
    own = office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔")
    before = len(office.driver.ephemerals("somchai", APPROVALS))
    with _on_its_way(office, "somchai", card, actions.APPROVE):
        office.driver.click("nok", own, actions.CANCEL)
        office.reaches(request, State.CANCELLED)
    assert "Nok Srisai cancelled this" in office.told("somchai", APPROVALS, after=before)
    assert office.request(request).state is State.CANCELLED


def test_every_card_shows_what_the_ledger_says(office: Office) -> None:
    """After all this each card equals the rendering of its row, and nothing else has buttons that live."""
    office.until(lambda: not office.out_of_step(), "the cards catching up", 90)

"""What people do in Slack, through the real app: who is listened to, what a click may decide, and what the person is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from slack_bolt import BoltRequest

from bot import desk
from bot.errors import Usage
from bot.ledger import alerts, audit, cards, catalogue, inbox, pauses, requests, runs
from bot.model.alerts import AlertState, Concern, Judged, Severity
from bot.model.backup_commands import ShowStatus
from bot.model.dumps import Part, Selection
from bot.model.ids import AlertId, RequestId
from bot.model.people import Person
from bot.model.requests import State
from bot.model.runs import Job, RunState
from bot.slack.cards import actions
from bot.slack.http import readable_timestamp
from bot.slack.replays import VALID_S, SeenSignatures
from handlers import build_app
from handlers.answers import answer
from handlers.payloads import is_ours
from handlers.replies import _may_respond
from tests.unit.card_rows import Rows
from tests.unit.desk_world import ALICE, BACKUP, BOB, CAROL, DAN, GUEST, SLIPS, STRANGER, TEAM
from tests.unit.handler_world import APP, Office, new_office, signed
from tests.unit.slack_world import Posted

BODY = "command=%2Fpitr&text=help&team_id=T1&api_app_id=A1&user_id=UALICE&trigger_id=9"


@pytest.fixture
def office() -> Iterator[Office]:
    """Return an office of its own for each test."""
    with new_office() as opened:
        yield opened


def pending(office: Office) -> RequestId:
    """Bring a request of Alice's to PENDING, with its cards posted and armed."""
    request = office.world.pending(version=office.world.policy.version)
    office.settle()
    return request.id


def recorded(office: Office) -> int:
    """Count what was ever recorded in the inbox."""
    with office.world.ledger.read() as tx:
        return int(tx.execute("SELECT count(*) FROM inbox").fetchone()[0])


def in_results(office: Office) -> Posted:
    """Return the one message in the results channel."""
    (posted,) = [message for (channel, _), message in office.slack.messages.items() if channel == "CRESULTS"]
    return posted


def test_only_slack_is_listened_to_and_only_once(office: Office) -> None:
    """A request is taken if its signature is right, younger than five minutes and new; anything else is refused."""
    assert office.send(BODY).status == 200
    assert office.send(BODY + "x", secret="another").status == 401
    assert office.send(BODY, at=time.time() - 301).status == 401
    assert office.send(BODY, at=time.time() + 301).status == 401
    assert office.app.dispatch(BoltRequest(body=BODY, headers={})).status == 401
    assert office.app.dispatch(BoltRequest(body=BODY + "x", headers=signed(BODY))).status == 401
    copied = signed(BODY, at=time.time() - 100)
    assert office.app.dispatch(BoltRequest(body=BODY, headers=copied)).status == 200
    assert office.app.dispatch(BoltRequest(body=BODY, headers=copied)).status == 403


def test_signatures_are_remembered_as_long_as_they_are_valid() -> None:
    """A signature is new once; it is forgotten when no timestamp could make it acceptable any more."""
    seen = SeenSignatures()
    assert seen.first("a", 0)
    assert not seen.first("a", VALID_S * 2)
    assert seen.first("b", VALID_S * 2 + 1)
    assert seen.first("a", VALID_S * 2 + 1)
    assert not seen.first("b", VALID_S * 2 + 1)


@pytest.mark.parametrize("given", ["", "now", "-1", "1.5", " 1", "١٢٣", "9" * 400, "9" * 5000])
def test_timestamps_the_verifier_would_choke_on_are_refused_before(given: str) -> None:
    """Text, signs, other digits and endless numbers never reach the verifier, which raises errors for them."""
    assert not readable_timestamp(given)
    assert readable_timestamp("1764000000")


@pytest.mark.parametrize("change", [{"team": {"id": "T2"}}, {"api_app_id": "A2"}, {"api_app_id": None}, {"team": None}])
def test_payloads_for_another_app_or_workspace_change_nothing(office: Office, change: dict[str, object]) -> None:
    """A well-signed click meant for somebody else's app or workspace is refused, and not recorded."""
    request = pending(office)
    card = office.card(request, "approvals")
    assert office.press(card, actions.APPROVE, CAROL, **change).status == 403
    office.settle()
    assert (office.world.state(request), recorded(office)) == (State.PENDING, 0)


def test_who_we_are_has_to_be_known() -> None:
    """Without our own app or team id nothing is ours, and the app is not even built."""
    body = {"team_id": "", "api_app_id": ""}
    assert not is_ours(body, team="", app="")
    assert not is_ours({"team_id": TEAM, "api_app_id": APP, "team": {"id": "T2"}}, team=TEAM, app=APP)
    with new_office() as office:
        unknown = replace(office.wiring, identity=replace(office.wiring.identity, app=None))
        with pytest.raises(Usage, match="which app"):
            build_app(unknown)


def test_bolt_leaves_our_loggers_alone(office: Office) -> None:
    """Bolt sets the level of a logger named like the app at every payload; ours keeps following the root's."""
    office.command("help", ALICE)
    office.settle()
    assert logging.getLogger("pitstop").level == logging.getLogger("pitstop.handlers").level == logging.NOTSET


def test_from_a_command_to_an_approval(office: Office) -> None:
    """A typed request is planned, confirmed and approved from its cards; each message is posted inert and armed after."""
    office.command("slips before 14:30 reason: a bad deploy", ALICE)
    office.settle()
    with office.world.ledger.read() as tx:
        (request,) = requests.recent(tx)
    assert (request.state, request.reason, request.requester) == (State.PLANNING, "a bad deploy", ALICE)
    office.world.plan_it(request, version=office.world.policy.version)
    office.settle()
    office.press(office.card(request.id, "dm:UALICE"), actions.CONFIRM, ALICE)
    office.settle()
    card = office.card(request.id, "approvals")
    assert [action for action, _ in card.buttons] == [actions.APPROVE, actions.DENY]
    assert all(block["type"] != "actions" for block in card.history[0]["blocks"])
    office.press(card, actions.APPROVE, CAROL)
    office.settle()
    assert office.world.state(request.id) is State.APPROVED
    assert not card.buttons


def test_a_click_delivered_twice_decides_once(office: Office) -> None:
    """The same trigger twice leaves one row in the inbox and one approval in the audit."""
    request = pending(office)
    card = office.card(request, "approvals")
    office.press(card, actions.APPROVE, CAROL, trigger_id="twice")
    office.press(card, actions.APPROVE, CAROL, trigger_id="twice")
    office.settle()
    assert recorded(office) == 1
    assert office.world.audited().count("request.approve") == 1


@pytest.mark.parametrize(
    ("by", "code"),
    [(ALICE, "self-approval"), (BOB, "not-approver"), (GUEST, "guest"), (STRANGER, "stranger")],
)
@pytest.mark.parametrize("action", [actions.APPROVE, actions.DENY])
def test_who_may_not_decide_is_refused_at_the_click(office: Office, by: Person, code: str, action: str) -> None:
    """Requester, bystander, guest and stranger are refused by the button and by the form it opens, and the audit says so."""
    request = pending(office)
    office.press(office.card(request, "approvals"), action, by)
    office.settle()
    assert office.world.state(request) is State.PENDING
    assert office.refusals() == [(by.user, code)]
    if action == actions.DENY:
        (shown,) = office.slack.called("views.update")
        assert "submit" not in shown["view"]
        assert not shown["view"].get("private_metadata")


def test_an_account_that_changed_since_is_refused_at_the_click(office: Office) -> None:
    """Rights are judged by what Slack says now: an approver deactivated a moment ago does not count."""
    request = pending(office)
    office.slack.users["UCAROL"]["deleted"] = True
    office.press(office.card(request, "approvals"), actions.APPROVE, CAROL)
    office.settle()
    assert (office.world.state(request), office.refusals()) == (State.PENDING, [("UCAROL", "deactivated")])


def test_with_slack_away_a_click_waits_and_is_given_up(office: Office) -> None:
    """A click whose person cannot be asked about stays in the inbox for 90 s, then its end is in the audit; nobody decided."""
    request = pending(office)
    office.press(office.card(request, "approvals"), actions.APPROVE, CAROL)
    office.slack.away = True
    office.inbox.drain()
    with office.world.ledger.read() as tx:
        assert len(inbox.open(tx)) == 1
    office.world.later(seconds=91)
    office.inbox.drain()
    with office.world.ledger.read() as tx:
        assert inbox.open(tx) == []
        assert [entry.action for entry in audit.entries(tx)][-1] == "request.approve.refused"
    assert office.world.state(request) is State.PENDING


def test_a_button_counts_only_on_the_card_it_belongs_to(office: Office) -> None:
    """A request's id pressed on another message, in another channel or on another request's card decides nothing."""
    one, other = pending(office), pending(office)
    mine, foreign = office.card(one, "approvals"), office.card(other, "approvals")
    office.press_at("CAPPROVE", "99.9", actions.APPROVE, one, CAROL)
    office.press_at("CELSE", mine.ts, actions.APPROVE, one, CAROL)
    office.press_at(foreign.channel, foreign.ts, actions.APPROVE, one, CAROL)
    office.press_at("", "", actions.APPROVE, one, CAROL)
    office.settle()
    assert (office.world.state(one), office.world.state(other)) == (State.PENDING, State.PENDING)
    assert office.refusals() == [("UCAROL", "foreign-card")] * 4


def test_a_form_serves_the_person_it_was_opened_for(office: Office) -> None:
    """Carol's form for denying is refused from Dan's hands and for another request, and works for her, once."""
    request, other = pending(office), pending(office)
    office.press(office.card(request, "approvals"), actions.DENY, CAROL)
    office.settle()
    token = office.slack.called("views.update")[-1]["view"]["private_metadata"]
    secret, _, _ = token.partition(" ")
    office.submit(actions.DENY_FORM, token, DAN, reason="no")
    office.submit(actions.DENY_FORM, f"{secret} {other}", CAROL, reason="no")
    office.submit(actions.DENY_FORM, f"forged {request}", CAROL, reason="no")
    office.submit(actions.REASON_FORM, token, CAROL, reason="no")
    office.settle()
    assert (office.world.state(request), office.world.state(other)) == (State.PENDING, State.PENDING)
    office.submit(actions.DENY_FORM, token, CAROL, reason="too risky")
    office.submit(actions.DENY_FORM, token, CAROL, reason="too risky")
    office.settle()
    assert office.world.state(request) is State.DENIED
    codes = [code for _, code in office.refusals()]
    assert codes == ["token-foreign", "token-foreign", "token-foreign", "not-requester", "token-used"]


def test_what_the_form_for_a_recovery_cannot_read_is_said_at_its_input(office: Office) -> None:
    """A target nobody can read comes back as an error at its input, in the acknowledgement, and is audited after it."""
    office.command("", ALICE)
    office.settle()
    token = office.slack.called("views.update")[-1]["view"]["private_metadata"]
    answer = office.submit(actions.PITR_FORM, token, ALICE, cluster="slips", target="half past moon", reason="x")
    assert '"response_action": "errors"' in answer.body
    assert '"target"' in answer.body
    office.settle()
    assert [by for by, _ in office.refusals()] == ["UALICE"]
    office.submit(actions.PITR_FORM, token, ALICE, cluster="slips", target="latest", reason="x")
    office.settle()
    with office.world.ledger.read() as tx:
        assert [request.target_text for request in requests.recent(tx)] == ["latest"]


@pytest.mark.parametrize("text", ["", "status slips", "list slips"])
def test_guests_and_strangers_see_no_backups(office: Office, text: str) -> None:
    """What only looks is for full members too; a member is answered."""
    for by in (GUEST, STRANGER):
        office.command(text, by, "/backup")
        office.settle()
        assert "slips" not in office.told(by)
    assert office.refusals() == [("UGUEST", "guest"), ("UOTHER", "stranger")]
    office.command(text, BOB, "/backup")
    office.settle()
    assert "slips" in office.told(BOB)


def test_the_status_says_which_repository_is_away(office: Office) -> None:
    """The card has what the monitor saw; where the one repository with backups is away, nothing is called recoverable."""
    backup = replace(Rows(1).backup(), kind="base", damaged=None)
    with office.world.ledger.transaction() as tx:
        catalogue.replace(tx, SLIPS, "local", [backup])
    away = replace(office.wiring, away=lambda _: {"local": "its folder /repository is not there"})
    told = answer(away, ShowStatus(SLIPS)).text
    assert "every repository that holds its backups is away" in told
    assert "`local` is away: its folder /repository is not there" in told
    assert "away" not in answer(office.wiring, ShowStatus(SLIPS)).text


def test_a_backup_now_takes_a_requester_and_comes_once(office: Office) -> None:
    """`/backup now` from a guest is refused and audited; from a member it queues one run, however often it is delivered."""
    office.command("now slips", GUEST, "/backup")
    for _ in range(2):
        office.command("now slips", BOB, "/backup", trigger_id="same")
    office.settle()
    with office.world.ledger.read() as tx:
        found = runs.recent(tx)
    assert [(run.job, run.state, run.queued_by) for run in found] == [(Job.BASE_BACKUP, RunState.QUEUED, BOB.key)]
    assert office.refusals() == [("UGUEST", "guest")]


def test_a_dump_now_queues_a_dump(office: Office) -> None:
    """`/backup now slips dump` queues a dump, beside a base backup that runs, and says so."""
    office.command("now slips", BOB, "/backup")
    office.command("now slips dump", BOB, "/backup")
    office.settle()
    with office.world.ledger.read() as tx:
        found = {run.job for run in runs.recent(tx)}
    assert found == {Job.BASE_BACKUP, Job.DUMP}
    assert "Dump of `slips` queued" in office.told(BOB)


def test_a_dump_of_a_part_carries_what_was_said(office: Office) -> None:
    """The run's arguments are what was typed; what cannot be read queues nothing and says how."""
    office.command("now slips dump tables Users, audit.log schema-only", BOB, "/backup")
    office.settle()
    assert "Dump of a part of `slips` queued" in office.told(BOB)
    with office.world.ledger.read() as tx:
        [run] = runs.recent(tx, jobs=(Job.DUMP,))
    assert Selection.from_json(run.args) == Selection(Part.SCHEMA_ONLY, tables=("Users", "audit.log"))
    office.command("now slips dump of it", BOB, "/backup")
    office.settle()
    assert "says nothing about a dump" in office.told(BOB)
    with office.world.ledger.read() as tx:
        assert len(runs.recent(tx, jobs=(Job.DUMP,))) == 1


def test_verify_queues_one_drill_of_a_backup_that_is_known(office: Office) -> None:
    """`/backup verify` queues a drill, once however often it is pressed; an id the list does not know is said, and queues none."""
    office.command("verify slips 20260101T020000Z-base-abcd", BOB, "/backup")
    office.settle()
    assert "has no backup" in office.told(BOB)
    office.command("verify slips", BOB, "/backup")
    office.command("verify", BOB, "/backup")
    office.settle()
    with office.world.ledger.read() as tx:
        [run] = runs.recent(tx)
    assert (run.job, run.args) == (Job.DRILL, {})


def test_half_a_surrogate_spoils_nothing(office: Office) -> None:
    """JSON can carry texts that no UTF-8 can: such a reason is stored with question marks, and such ids belong to nobody."""
    request = pending(office)
    card = office.card(request, "approvals")
    office.press(card, actions.DENY, CAROL)
    office.settle()
    token = office.slack.called("views.update")[-1]["view"]["private_metadata"]
    office.press_at(card.channel, card.ts, actions.APPROVE, "r\ud800", CAROL)
    office.press(card, actions.APPROVE, Person(TEAM, "U\ud800"))
    assert office.submit(actions.DENY_FORM, token, CAROL, reason="no \ud800\x00 way").body == ""
    office.settle()
    with office.world.ledger.read() as tx:
        denied = requests.get(tx, request)
    assert (denied.state, denied.decisions[0].reason) == (State.DENIED, "no ?  way")
    assert office.refusals() == [("UCAROL", "foreign-card"), ("U?", "deactivated")]


def alerted(office: Office, concern: Concern) -> tuple[AlertId, Posted]:
    """Raise an alert and return it with its card."""
    (alert,) = desk.observe(office.world.ledger, [concern], Judged(), office.world.now)
    office.settle()
    with office.world.ledger.read() as tx:
        card = cards.find(tx, "alert", alert.id, "alerts")
    assert card is not None
    assert card.channel is not None
    assert card.ts is not None
    return alert.id, office.slack.messages[card.channel, card.ts]


def standing(office: Office, alert: AlertId) -> tuple[AlertState, str]:
    """Return an alert's state and who brought it there."""
    with office.world.ledger.read() as tx:
        found = alerts.get(tx, alert)
    return found.state, found.by


@pytest.mark.parametrize("cluster", ["slips", ""])
def test_an_alert_is_taken_snoozed_and_settled_from_its_card(office: Office, cluster: str) -> None:
    """Anybody who may ask may press; each click is audited once, and the card loses what can no longer be pressed."""
    failed = Concern("run-failed", cluster, "dump", Severity.WARN, "It failed.", "Look.", occurrence="run-1")
    alert, card = alerted(office, failed)
    for action, state in (
        (actions.ACKNOWLEDGE, AlertState.ACKNOWLEDGED),
        (actions.SNOOZE_1H, AlertState.SNOOZED),
        (actions.SNOOZE_24H, AlertState.SNOOZED),
        (actions.RESOLVE, AlertState.RESOLVED),
    ):
        office.press(card, action, BOB, trigger_id=f"t-{action}")
        office.press(card, action, BOB, trigger_id=f"t-{action}")
        office.settle()
        assert standing(office, alert) == (state, "Bob")
    assert not card.buttons
    told = [action for action in office.world.audited() if action.startswith("alert.")]
    assert told == ["alert.open", "alert.acknowledge", "alert.snooze", "alert.snooze", "alert.resolve"]


def test_guests_and_foreign_cards_do_nothing_to_alerts(office: Office) -> None:
    """A guest, a stranger and a press on another message are refused and audited."""
    alert, card = alerted(office, Concern("disk", "", "spool", Severity.PAGE, "Full.", "Free space."))
    for by in (GUEST, STRANGER):
        office.press(card, actions.ACKNOWLEDGE, by)
    office.press_at("CAPPROVE", "99.9", actions.ACKNOWLEDGE, alert, BOB)
    office.settle()
    assert standing(office, alert) == (AlertState.OPEN, "")
    assert office.refusals() == [("UGUEST", "guest"), ("UOTHER", "stranger"), ("UBOB", "foreign-card")]


PASTE = "<!channel> <@UCAROL> *x* `y` <https://evil.test|click> \u202e\x00\ud800 🙂" * 200


@pytest.mark.parametrize("text", [PASTE, "slips " + PASTE, f"slips latest reason: {PASTE[:300]}"])
def test_ten_thousand_characters_do_no_harm(office: Office, text: str) -> None:
    """A paste full of mentions, control characters and half a surrogate gets one short answer that mentions nobody."""
    clean = text.encode("utf-8", "replace").decode()
    office.command(clean, ALICE)
    office.settle()
    sent = [message["text"] for message in office.slack.called("chat.postMessage")]
    assert sent
    assert all("<!channel>" not in text and "<@UCAROL>" not in text and "<https" not in text for text in sent)
    assert max(map(len, sent)) <= 4000


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.slack.com/commands/T1/2/3", True),
        ("https://hooks.slack-gov.com/actions/T1/2/3", True),
        ("http://127.0.0.1:4000/response/x", True),
        ("", False),
        ("http://hooks.slack.com/commands/T1", False),
        ("https://hooks.slack.com:8443/x", False),
        ("https://hooks.slack.com.evil.test/x", False),
        ("https://hooks.slack.com@evil.test/x", False),
        ("https://evil.test\\@hooks.slack.com/x", False),
        ("https://evil@hooks.slack.com/x", False),
        ("http://127.0.0.1:4001/response/x", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("file:///etc/passwd", False),
        ("https://[::1", False),
    ],
)
def test_answers_go_to_slack_alone(url: str, allowed: bool) -> None:
    """A response URL is used only on Slack's own hosts, or on the server configured to stand in for it."""
    assert _may_respond(url, api_url="http://127.0.0.1:4000/api/") is allowed
    assert not _may_respond("http:///x", api_url="")


def test_a_schedule_is_paused_in_slack_and_resumed_by_its_button(office: Office) -> None:
    """Whoever may back up may pause; the results channel shows it with a button that ends it, and the card then says who did."""
    office.command("pause slips 2h", ALICE, name="/backup")
    office.settle()
    assert "paused until" in office.told(ALICE)
    shown = in_results(office)
    assert "is paused" in shown.title
    office.command("schedule", BOB, name="/backup")
    office.settle()
    assert "⏸️ paused by <@UALICE>" in office.told(BOB)
    office.press(shown, actions.RESUME, BOB)
    office.settle()
    assert "goes on" in office.told(BOB)
    shown = in_results(office)
    assert "*Resumed by* <@UBOB>" in shown.shown["text"]
    assert actions.RESUME not in dict(shown.buttons)


def test_a_guest_neither_pauses_nor_resumes(office: Office) -> None:
    """Typed or pressed, a guest's word changes nothing and is audited."""
    office.command("pause slips 2h", GUEST, name="/backup")
    office.command("pause slips 2h", ALICE, name="/backup")
    office.settle()
    shown = in_results(office)
    office.press(shown, actions.RESUME, GUEST)
    office.settle()
    assert [who for who, _ in office.refusals()] == ["UGUEST", "UGUEST"]
    with office.world.ledger.read() as tx:
        held = pauses.current(tx, SLIPS, office.world.now)
    assert held is not None
    assert held.by == ALICE


def test_a_backup_is_shown_by_its_id(office: Office) -> None:
    """From the ledger's copy of the catalogue alone; one that does not exist is refused with where to look."""
    with office.world.ledger.transaction() as tx:
        catalogue.add(tx, SLIPS, "local", replace(Rows(7).backup(), id=BACKUP, kind="base"))
    office.command(f"show {BACKUP}", BOB, name="/backup")
    office.settle()
    assert "Base backup of slips" in office.told(BOB)
    office.command("show 20991122T020000Z-base-7f3a", BOB, name="/backup")
    office.settle()
    assert "Did you mean `20261122T020000Z-base-7f3a`?" in office.told(BOB)

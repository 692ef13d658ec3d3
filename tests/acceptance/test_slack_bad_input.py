"""What bad input gets in Slack: one clear sentence with a hint, nothing changed, and the attempt in the audit."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.ledger import audit
from bot.model.requests import Request, State
from bot.model.runs import Job, RunState
from bot.model.wal import Lsn, segment_name, segment_number
from bot.sandbox.driver import DriverError, Message
from bot.slack import forms
from bot.slack.cards import actions
from bot.slack.manifest import SCOPES
from tests.acceptance.office import ALERTS, APPROVALS, RESULTS, Office, open_office
from tests.commands import pitstop

pytestmark = pytest.mark.pg

SEGMENT = 16 * 1024 * 1024
BOOK = "🔥*<!channel>* _<@U0SOMCHAI>_ ~`x`~ & " * 300


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """One office with a base backup, whose people mistype."""
    with open_office() as opened:
        opened.backed_up()
        yield opened


def _counts(office: Office) -> tuple[int, int]:
    """Return how many requests and how many base backups there are."""
    with office.ledger.read() as tx:
        requests = tx.execute("SELECT count(*) FROM requests").fetchone()[0]
        backups = tx.execute("SELECT count(*) FROM runs WHERE job = 'base-backup'").fetchone()[0]
    return int(requests), int(backups)


def _refusals(office: Office) -> list[tuple[str, str]]:
    """Return (action, code) of every refused attempt in the audit, oldest first."""
    with office.ledger.read() as tx:
        entries = [
            entry for entry in audit.entries(tx) if entry.action.endswith(".refused") or _is_attempt(entry.detail)
        ]
    return [(entry.action, str(json.loads(entry.detail)["code"])) for entry in entries]


def _is_attempt(detail: str) -> bool:
    return set(json.loads(detail)) == {"code", "message", "hint"}


TYPED = [
    ("/backup nwo slips", "does not know the word “nwo”", "Did you mean `/backup now slips`?", "unknown-word"),
    ("/backup now slip", "There is no cluster named “slip”.", "Did you mean `slips`?", "unknown-cluster"),
    ("/backup list", "Which cluster?", "Known clusters: `orphan`, `slips`.", "unknown-cluster"),
    ("/pitr slup latest", "There is no cluster named “slup”.", "Did you mean `slips`?", "unknown-cluster"),
    (
        "/pitr yesterday 23:10",
        "which cluster is it for?",
        "Did you mean `/pitr orphan yesterday 23:10`?",
        "unknown-cluster",
    ),
    ("/pitr slips half past two", "“half past two” is not a time I can read.", "Write one like `14:30`", "bad-time"),
    ("/pitr slips 1430", "is not a time I can read", "Did you mean 14:30?", "bad-time"),
    ("/pitr slips 25:99", "names a time that no clock shows", "Hours go from 00 to 23", "no-such-time"),
    (
        "/pitr slips 2099-01-01 10:00",
        "is in the future: read as 2099-01-01 10:00:00 Asia/Bangkok",
        "latest",
        "future-time",
    ),
    ("/pitr slips midnight yesterday", "has two readings", "Write 00:00 with the day", "ambiguous-time"),
    ("/pitr slips 2026-11-01 10:00 CST", "names more than one time zone", "Asia/Shanghai", "ambiguous-time"),
    ("/pitr slips xid:many", "“many” is not a transaction id.", "`xid:84213`", "bad-target"),
    ("/pitr slips lsn:zero", "“zero” is not an LSN.", "`lsn:0/16B3748`", "bad-target"),
    ("/pitr slips before drop Transactions", "cannot be looked up", "", "bad-target"),
    (
        "/pitr slips latest reason: " + "x" * 600,
        "The reason has 600 characters.",
        "Can you say it in 500?",
        "reason-too-long",
    ),
    ("/pitr orphan latest", "Nobody is named who could approve this", "[approval]", "no-approvers"),
    ("/backup now orphan", "You may not ask for this.", "names no requesters", "not-requester-listed"),
]


@pytest.mark.parametrize(("typed", "sentence", "hint", "code"), TYPED, ids=[line[0][:40] for line in TYPED])
def test_what_is_mistyped_is_answered_with_a_sentence_and_a_hint(
    office: Office, typed: str, sentence: str, hint: str, code: str
) -> None:
    """Only who typed it reads it; no request and no run comes of it; the audit has the attempt with its code."""
    counts, refusals = _counts(office), len(_refusals(office))
    told = office.answer_to("nok", typed)
    assert sentence in told, told
    assert hint in told, told
    assert _counts(office) == counts
    assert [found for _, found in _refusals(office)[refusals:]] == [code]


def test_a_time_that_was_twice_names_both(office: Office) -> None:
    """When the clocks went back over it, in the person's own zone, the two readings are offered to choose from."""
    told = office.answer_to("ploy", "/pitr slips 2026-10-25 02:30")
    assert "was twice in Europe/Berlin: the clocks went back over it." in told
    assert "Write 2026-10-25T02:30:00+02:00 for the first or 2026-10-25T02:30:00+01:00 for the second." in told


def test_a_command_slack_does_not_know_never_reaches_the_bot(office: Office) -> None:
    """Only the commands of the app's manifest exist."""
    with pytest.raises(DriverError, match="no_such_command"):
        office.driver.command("nok", RESULTS, "/drop everything")


def test_a_book_of_emoji_and_markup_is_refused_whole(office: Office) -> None:
    """10,000 characters are counted and refused; nothing of them is shown to anybody else."""
    assert len(BOOK) > 10_000
    told = office.answer_to("nok", f"/pitr slips latest reason: {BOOK}")
    assert re.search(r"That is 1\d,\d{3} characters; I read at most 2,000.", told), told
    assert re.search(r"That is 1\d,\d{3} characters; I read at most 2,000.", office.answer_to("nok", f"/backup {BOOK}"))
    office.types("nok", "/pitr slips")
    form = office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.PITR_FORM), None), "the form"
    )
    sent = office.driver.submit("nok", form, {forms.TARGET: BOOK, forms.REASON: BOOK})
    assert sent.errors, "Slack's own client keeps the limits of the inputs"
    office.driver.close_view("nok", form)


def test_markup_in_a_reason_mentions_nobody(office: Office) -> None:
    """A reason full of mentions, links and marks is shown letter for letter on every card, within Slack's limits."""
    reason = ("<!channel> <@U0SOMCHAI> <https://evil.example|click> *b* _i_ ~s~ `c` 🔥" * 7)[:500]
    request, card = office.pend("nok", "latest", reason)
    assert office.request(request).reason == " ".join(reason.split())
    for message in (card, *_everywhere(office)):
        marked = re.findall(r"<([!@#h][^>|]*)", message.full_text)
        foreign = [m for m in marked if not re.match(r"!subteam\^S0DBAS|!date\^|@U0NOK|@U0SOMCHAI$", m)]
        assert not foreign, message.full_text
        assert message.full_text.count("<@U0SOMCHAI>") == 0
        assert len(message.text) <= 4000
    own = office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔")
    office.driver.click("nok", own, actions.CANCEL)
    office.reaches(request, State.CANCELLED)


def _everywhere(office: Office) -> list[Message]:
    places = [office.driver.messages(place) for place in (RESULTS, ALERTS, APPROVALS)]
    return [message for place in [*places, office.driver.dm("nok"), office.driver.dm("somchai")] for message in place]


def _refused(office: Office, target: str) -> tuple[Request, Message]:
    """Ask for a target that cannot be had, and return the request with its card."""
    request = office.ask("nok", target)
    office.reaches(request, State.REFUSED)
    return office.request(request), office.card(request, "dm:U0NOK", actions.ASK_AGAIN, text="🚫")


def test_what_is_not_in_the_wal_is_refused_by_the_plan(office: Office) -> None:
    """A transaction and a restore point that do not exist are named, with the nearest name there is."""
    office.sql("SELECT pg_create_restore_point('before-migration')")
    row, card = _refused(office, "xid:3999999999")
    assert "No transaction 3999999999 ended in the WAL kept here" in card.text
    assert "Is it still running, read-only, or older than the WAL?" in card.text
    assert row.outcome is not None
    assert row.outcome["code"] == "unknown-xid"
    _, card = _refused(office, "point:before-migratoin")
    assert "There is no restore point “before-migratoin”" in card.text
    assert "Did you mean 'before-migration'?" in card.text
    assert office.audited(row.id)[-1] == "request.refuse"


def test_before_the_first_backup_the_nearest_time_is_offered_and_can_be_had(office: Office) -> None:
    """Yesterday is too early; Ask again is filled in with the earliest time there is, which makes a plan."""
    row, card = _refused(office, "yesterday 10:00")
    assert row.outcome is not None
    assert "*Nearest reachable*" in card.text
    assert office.driver.click("nok", card, actions.ASK_AGAIN).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.PITR_FORM), None), "the form"
    )
    filled = {element["block_id"]: element.get("initial_value") for element in form.elements}
    assert filled[forms.TARGET] == row.outcome["nearest"][0]
    before = len(office.driver.dm("nok"))
    assert not office.driver.submit("nok", form, {}).errors
    office.see(lambda d: next((m for m in d.dm("nok")[before:] if m.has_button(actions.CONFIRM)), None), "a plan")


def test_inside_a_hole_the_times_on_both_sides_are_offered(office: Office) -> None:
    """A segment is gone: a time within it is refused, and the last time before and the first after it can be had."""
    marks = []
    for n in range(3):
        time.sleep(0.2)
        [(lsn,)] = office.sql(
            f"INSERT INTO slips VALUES ({3000 + n}, 'hole') RETURNING pg_current_wal_insert_lsn()::text"
        )
        marks.append((Lsn.parse(lsn), datetime.now(UTC)))
        time.sleep(0.2)
        office.sql("SELECT pg_switch_wal()")
    office.sql("INSERT INTO slips VALUES (3999, 'after')")
    gone = _stored(office, segment_name(1, segment_number(marks[1][0], SEGMENT), SEGMENT))
    last = _stored(office, segment_name(1, segment_number(marks[2][0], SEGMENT), SEGMENT))
    assert last.exists()
    gone.unlink()
    office.types("nok", "/backup now slips")
    office.until(lambda: len(office.runs(Job.BASE_BACKUP, RunState.SUCCEEDED)) >= 2, "a backup after the hole")
    row, card = _refused(office, f"{marks[1][1].isoformat()}")
    assert row.outcome is not None
    assert row.outcome["code"] == "in-a-hole", card.text
    assert "lies in a hole: WAL is missing there." in card.text
    before, after = (datetime.fromisoformat(at) for at in row.outcome["nearest"])
    assert before <= marks[1][1] <= after
    for at in (before, after):
        request = office.ask("nok", at.isoformat())
        assert office.reaches(request, State.PROPOSED, State.REFUSED).state is State.PROPOSED, office.request(
            request
        ).outcome


def _stored(office: Office, segment: str) -> Path:
    """Wait until a segment is in the repository and no longer in the spool, and return its file."""
    pattern = f"slips/*/wal/*/{segment}"
    office.until(lambda: list((office.home / "repository").glob(pattern)), f"segment {segment} being shipped")
    spooled = office.home / "pitstop" / "spool" / "slips" / "wal" / segment
    office.until(lambda: not spooled.exists(), f"segment {segment} leaving the spool")
    [found] = (office.home / "repository").glob(pattern)
    return found


def test_a_token_without_a_scope_is_said_to_whom_it_stops(office: Office) -> None:
    """Which scope is missing and how to add it is told to the approver, printed by `check`, and logged by a bot that starts."""
    request, card = office.pend()
    office.driver.change_app(scopes=[scope for scope in SCOPES if scope != "usergroups:read"])
    with office.ledger.transaction() as tx:  # what was known of the group a moment ago still counts; make it old
        tx.execute("UPDATE people_groups SET fetched_at = '2026-01-01T00:00:00+00:00'")
    told = office.press("somchai", card, actions.APPROVE)
    assert "Slack refused usergroups.users.list: missing_scope." in told
    assert "Add `usergroups:read`" in told
    assert office.request(request).state is State.PENDING
    said = pitstop(
        "check", config=office.config_path, SLACK_BOT_TOKEN=office.sandbox.bot_token, SLACK_APP_TOKEN="xapp-1"
    )
    assert "lacks usergroups:read" in said.out
    office.stop_bot()
    office.start_bot(wait=False)
    office.until(lambda: "The Slack token lacks the scopes usergroups:read." in office.log, "the bot saying so")
    assert "Add them under OAuth" in office.log
    office.driver.change_app(scopes=list(SCOPES))
    office.until(lambda: office.connected, "the bot coming back by itself")
    own = office.card(request, "dm:U0NOK", actions.CANCEL, text="🔔")
    office.driver.click("nok", own, actions.CANCEL)
    office.reaches(request, State.CANCELLED)


def test_with_postgresql_down_recovery_can_be_planned_and_a_backup_says_why_not(office: Office) -> None:
    """Nobody needs the live server to go back: the plan rests on what is stored. A backup fails, and both channels say why."""
    office.server.stop("fast")
    request, plan = office.propose("nok", "latest", "the server is gone")
    assert plan.has_button(actions.CONFIRM)
    assert office.request(request).state is State.PROPOSED
    office.types("nok", "/backup now slips")
    office.until(lambda: office.runs(Job.BASE_BACKUP, RunState.FAILED), "the backup's failure")
    [failed] = office.runs(Job.BASE_BACKUP, RunState.FAILED)
    assert failed.error is not None
    shown = office.card(failed.id, "results", text="❌", kind="run")
    alert = office.alert("run-failed", "base-backup", text="base-backup of slips failed")
    for card in (shown, alert):
        assert "slips" in card.text
        assert "→" in card.text, card.text
    assert "No such file or directory" in shown.text or "refused" in shown.text or "running" in shown.text, shown.text

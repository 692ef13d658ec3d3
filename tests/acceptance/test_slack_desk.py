"""What the bot tells by itself and keeps at hand: the digest with its charts, the rehearsal, the runbook, the schedule."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator

import psycopg
import pytest

from bot import desk
from bot.ledger import audit, catalogue, rehearsals, requests
from bot.model.ids import RequestId
from bot.model.requests import State
from bot.model.runs import Job, Run, RunState
from bot.sandbox.driver import Message, View
from bot.slack.cards import actions
from jobs.context import utc_now
from tests.acceptance.office import RESULTS, SLIPS, Office, open_office

pytestmark = pytest.mark.pg


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """One office with a base backup."""
    with open_office() as opened:
        opened.backed_up()
        yield opened


def due(office: Office, job: Job) -> Run:
    """Let the schedule's time for a job have come."""
    return desk.queue_run(
        office.ledger, job=job, cluster=SLIPS, args={}, by="pitstop", at=utc_now(), entropy=os.urandom(8)
    )


def shared(office: Office, card: Message) -> Message:
    """Wait for the message with a file in the thread of a card."""
    return office.see(
        lambda d: next((m for m in d.messages(RESULTS, thread_ts=card.ts) if m.files), None), "a file in the thread"
    )


def fetched(office: Office, message: Message) -> bytes:
    """Return the bytes of a shared file, as a browser loads them."""
    with urllib.request.urlopen(message.files[0]["url_private"]) as answer:
        return bytes(answer.read())


def test_the_digest_says_what_is_safe_and_shows_its_charts(office: Office) -> None:
    """One message with what is safe and what is not, its charts as a picture in the thread, told in words."""
    run = due(office, Job.DIGEST)
    card = office.card(run.id, "results", text="*Safe*", kind="run")
    assert "The newest base backup is" in card.text
    assert "*Not safe*" in card.text
    assert "No drill proved a backup" in card.text
    picture = shared(office, card)
    assert "Four charts of slips" in picture.text
    assert fetched(office, picture).startswith(b"\x89PNG")


def test_a_rehearsal_is_reminded_of_and_its_notes_are_kept(office: Office) -> None:
    """The card says what to walk through; notes go through a form onto the card, into the ledger and the audit."""
    run = due(office, Job.REHEARSAL)
    card = office.card(run.id, "results", actions.NOTE_REHEARSAL, kind="run")
    assert "/pitr slips 10 minutes ago reason: rehearsal" in card.text
    assert office.driver.click("nok", card, actions.NOTE_REHEARSAL).acked

    def form() -> View:
        return office.see(
            lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.REHEARSAL_FORM), None),
            "the form",
        )

    sent = office.driver.submit("nok", form(), {"went": "badly", "notes": "The contacts are <b>old</b>."})
    assert not sent.errors
    noted = office.card(run.id, "results", text="The contacts are", kind="run")
    assert "⚠️ <@U0NOK>" in noted.text
    assert "&lt;b&gt;" in noted.text
    with office.ledger.read() as tx:
        kept = rehearsals.of_run(tx, run.id)
        told = [entry for entry in audit.entries(tx) if entry.action == "rehearsal.note"]
    assert [(one.went_well, one.text) for one in kept] == [(False, "The contacts are <b>old</b>.")]
    assert len(told) == 1


def test_the_runbook_comes_as_a_file_in_a_direct_message(office: Office) -> None:
    """Whoever asks gets the page they may need when the bot is gone; a guest does not."""
    told = office.answer_to("nok", "/backup runbook slips")
    assert "direct messages" in told, told
    page = office.see(lambda d: next((m for m in d.dm("nok") if m.files), None), "the file")
    text = fetched(office, page).decode()
    assert text.startswith("# Runbook: restoring slips")
    assert "## Without the bot" in text
    refused = office.answer_to("kit", "/backup runbook slips")
    assert "Guests may not do this" in refused, refused
    assert not [message for message in office.driver.dm("kit") if message.files]


def test_a_pause_is_seen_by_all_and_ended_by_anybody_who_may(office: Office) -> None:
    """Typed by one, shown to all, ended by another's click."""
    assert "is paused until" in office.answer_to("nok", "/backup pause slips 2h")
    card = office.see(
        lambda d: next((m for m in d.messages(RESULTS) if m.has_button(actions.RESUME)), None), "the card of the pause"
    )
    assert "⏸️ paused by" in office.answer_to("nok", "/backup schedule slips")
    assert "goes on" in office.press("somchai", card, actions.RESUME)
    assert "⏸️" not in office.answer_to("nok", "/backup schedule slips").replace("`/backup pause", "")


def test_a_backup_is_pinned_and_unpinned(office: Office) -> None:
    """Typed with its id alone: answered at once, shown in the list and by `/backup show`; a wrong id changes nothing."""
    with office.ledger.read() as tx:
        [backup] = [one for one in catalogue.list(tx, SLIPS) if one.kind == "base"]
    assert "📌" not in office.answer_to("nok", "/backup list slips")
    assert "it stays until it is unpinned" in office.answer_to("nok", f"/backup pin {backup.id}")
    office.until(lambda: "📌" in office.answer_to("nok", "/backup list slips"), "the pin in the list")
    assert "pinned" in office.answer_to("nok", f"/backup show {backup.id}")
    missing = f"{backup.id[:-4]}0000" if not backup.id.endswith("0000") else f"{backup.id[:-4]}1111"
    assert backup.id in office.answer_to("nok", f"/backup pin {missing}")
    assert "Guests may not do this" in office.answer_to("kit", f"/backup unpin {backup.id}")
    assert "its age decides again" in office.answer_to("somchai", f"/backup unpin {backup.id}")
    office.until(lambda: "📌" not in office.answer_to("nok", "/backup list slips"), "the pin gone from the list")


def test_a_dump_is_restored_through_the_form(office: Office) -> None:
    """The form's pickers know the backup's databases and tables; a wrong name is refused at its input; the rows come back."""
    office.sql("CREATE DATABASE attic")
    with psycopg.connect(office.server.dsn("attic"), autocommit=True) as connection:
        connection.execute("CREATE TABLE boxes (n int)")
    office.answer_to("nok", "/backup now slips dump")
    office.until(lambda: "-dump-" in office.answer_to("nok", "/backup list slips"), "the dump in the list")
    [(rows,)] = office.sql("SELECT count(*) FROM slips")
    office.types("nok", "/restore slips")
    form = office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.RESTORE_FORM), None), "the form"
    )
    driver = office.driver
    backups = [one["value"] for one in driver.options("nok", form, actions.BACKUP_OPTIONS, "-dump-")]
    assert len(backups) == 1
    databases = [one["value"] for one in driver.options("nok", form, actions.DATABASE_OPTIONS)]
    assert "postgres" in databases
    tables = [one["value"] for one in driver.options("nok", form, actions.TABLE_OPTIONS)]
    assert {"public.boxes", "public.slips"} <= set(tables)
    attic = {"backup": backups[0], "database": "attic"}
    assert [one["value"] for one in driver.options("nok", form, actions.TABLE_OPTIONS, values=attic)] == [
        "public.boxes"
    ]
    filled = {"backup": "latest", "database": "postgres", "into": "x" * 64, "reason": "to compare"}
    assert "63" in driver.submit("nok", form, filled).errors["into"]
    assert not driver.submit("nok", form, {**filled, "into": "slips_monday"}).errors
    plan = office.see(
        lambda d: next((m for m in d.dm("nok") if m.has_button(actions.CONFIRM) and "slips_monday" in m.text), None),
        "the plan",
    )
    assert driver.click("nok", plan, actions.CONFIRM).acked
    request = next(one["value"] for one in plan.buttons if one["action_id"] == actions.CONFIRM)
    card = office.card(request, "approvals", actions.APPROVE)
    assert driver.click("somchai", card, actions.APPROVE).acked
    office.card(request, "results")
    with psycopg.connect(office.server.dsn("slips_monday")) as connection:
        assert connection.execute("SELECT count(*) FROM slips").fetchone() == (rows,)


def test_a_database_is_swapped_for_its_dump_and_undo_brings_it_back(office: Office) -> None:
    """Typed, confirmed, approved by typing the cluster's name: the dump's rows have the name. Undo is pressed: all are back."""
    driver = office.driver
    office.sql("CREATE DATABASE shop")
    with psycopg.connect(office.server.dsn("shop"), autocommit=True) as connection:
        connection.execute("CREATE TABLE orders AS SELECT 1 AS n")
    before = len(office.runs(Job.DUMP, RunState.SUCCEEDED))
    office.types("nok", "/backup now slips dump")
    office.until(lambda: len(office.runs(Job.DUMP, RunState.SUCCEEDED)) > before, "the dump")
    with psycopg.connect(office.server.dsn("shop"), autocommit=True) as connection:
        connection.execute("INSERT INTO orders VALUES (2)")
    told = office.answer_to("nok", "/restore slips latest in place database shop reason: a bad migration")
    request = RequestId(told.partition("(request `")[2].partition("`")[0])
    plan = office.card(request, "dm:U0NOK", actions.CONFIRM)
    assert "the place of the live database `shop`" in plan.full_text
    assert driver.click("nok", plan, actions.CONFIRM).acked
    card = office.card(request, "approvals", actions.APPROVE_TYPED)
    assert not card.has_button(actions.APPROVE)
    assert driver.click("somchai", card, actions.APPROVE_TYPED).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("somchai") if v.callback_id == actions.APPROVE_FORM), None), "the form"
    )
    assert "slips" in driver.submit("somchai", form, {"typed": "shop"}).errors["typed"]
    assert office.request(request).state is State.PENDING
    assert not driver.submit("somchai", form, {"typed": "slips"}).errors
    done = office.reaches(request, State.SUCCEEDED, State.FAILED, State.VOID)
    assert done.state is State.SUCCEEDED, done.outcome
    swapped = office.card(request, "approvals", actions.UNDO)
    assert swapped.has_button(actions.KEPT_REMOVE)
    with psycopg.connect(office.server.dsn("shop")) as connection:
        assert connection.execute("SELECT n FROM orders").fetchall() == [(1,)]
    assert office.sql("SELECT datallowconn FROM pg_database WHERE datname LIKE 'shop_before_%'") == [(False,)]
    told = office.press("nok", swapped, actions.UNDO)
    undo = RequestId(told.partition("(request `")[2].partition("`")[0])
    _in_place_through_slack(office, undo, "the rows after the migration are wanted")
    with psycopg.connect(office.server.dsn("shop")) as connection:
        assert connection.execute("SELECT n FROM orders ORDER BY n").fetchall() == [(1,), (2,)]
    assert office.sql("SELECT datallowconn FROM pg_database WHERE datname LIKE 'shop_undone_%'") == [(False,)]


def _in_place_through_slack(office: Office, request: RequestId, reason: str) -> None:
    """Give a reason, confirm, approve by typing the cluster's name, and wait for the end."""
    driver = office.driver
    plan = office.card(request, "dm:U0NOK", actions.REASON)
    assert driver.click("nok", plan, actions.REASON).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.REASON_FORM), None), "the form"
    )
    assert not driver.submit("nok", form, {"reason": reason}).errors
    card = office.card(request, "approvals", actions.APPROVE_TYPED, text=reason)
    assert driver.click("somchai", card, actions.APPROVE_TYPED).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("somchai") if v.callback_id == actions.APPROVE_FORM), None), "the form"
    )
    assert not driver.submit("somchai", form, {"typed": "slips"}).errors
    done = office.reaches(request, State.SUCCEEDED, State.FAILED, State.VOID)
    assert done.state is State.SUCCEEDED, done.outcome


def test_restore_typed_wrongly_is_refused_with_the_line_to_write(office: Office) -> None:
    """What cannot be read is answered with what can be typed; help says it all."""
    assert "into NEWNAME" in office.answer_to("nok", "/restore slips latest")
    assert "`/restore orphan latest into slips_monday" in office.answer_to("nok", "/restore help")
    assert "Guests may not do this" in office.answer_to("kit", "/restore slips latest into copy")


def test_the_home_tab_is_a_control_desk(office: Office) -> None:
    """It shows how safe each cluster is and what waits for whom, leads to cards and forms; guests see none of it."""
    driver = office.driver
    request, _ = office.pend("nok", "latest", "for the desk")

    def desk_of(who: str, text: str) -> View:
        driver.open_home(who)
        return office.see(lambda d: v if (v := d.home(who)) and text in v.full_text else None, f"the desk of {who}")

    approver = desk_of("somchai", "Waits for your decision")
    assert "for the desk" in approver.full_text
    [link] = [one["url"] for one in approver.elements if one.get("action_id") == actions.OPEN_CARD]
    assert link.startswith("http")
    own = desk_of("nok", "Your requests")
    assert "Waits for your decision" not in own.full_text
    assert "slips" in own.full_text
    assert "Last drill" in own.full_text or "No drill yet" in own.full_text
    assert driver.click("nok", own, actions.HOME_RECOVER, block_id=_block(own, "slips")).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.PITR_FORM), None), "the form"
    )
    assert any((one.get("initial_option") or {}).get("value") == "slips" for one in form.elements)
    driver.close_view("nok", form)
    assert driver.click("nok", own, actions.HOME_RESTORE, block_id=_block(own, "slips")).acked
    office.see(
        lambda d: next((v for v in d.open_views("nok") if v.callback_id == actions.RESTORE_FORM), None),
        "the other form",
    )
    before = len(office.runs(Job.BASE_BACKUP))
    assert driver.click("nok", own, actions.HOME_BACKUP, block_id=_block(own, "slips")).acked
    office.until(lambda: len(office.runs(Job.BASE_BACKUP)) > before, "the backup that was pressed for")
    assert "full members" in desk_of("kit", "full members").full_text
    assert not list(driver.home("kit").elements)  # type: ignore[union-attr]
    office.answer_to("nok", "/backup")
    with office.ledger.read() as tx:
        assert requests.get(tx, request).state is State.PENDING


def _block(view: View, cluster: str) -> str:
    """Return the block id of a cluster's buttons."""
    return next(str(one["block_id"]) for one in view.elements if one.get("value") == cluster)

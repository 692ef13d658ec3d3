"""Alerts as people meet them: a card that appears, is taken, ends by itself, comes back and calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.model.alerts import AlertState
from bot.model.runs import Job, RunState
from bot.postgres.plain import PlainServer
from bot.slack.cards import actions
from tests.acceptance.office import ALERTS, RESULTS, Office, open_office
from tests.integration.test_attention import Listener, listening
from tests.servers import FAST

pytestmark = pytest.mark.pg

WATCHED = """
[monitor]
every = "1s"
disk_free = 0.0
heartbeat_url = "http://{listener}/beat"
"""


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    """Return what stands for a pager and a checker outside."""
    with listening() as found:
        yield found


@pytest.fixture(scope="module")
def office(listener: Listener) -> Iterator[Office]:
    """Open one office for the module, whose bot looks every second and mentions the DBAs."""
    with open_office(start=False) as opened:
        text = opened.config_path.read_text("utf-8").replace("[slack]\n", '[slack]\noncall = "S0DBAS"\n')
        opened.config_path.write_text(text + WATCHED.format(listener=listener.url), "utf-8")
        opened.start_bot(PITSTOP_NOTIFY_URLS=f"json://{listener.url}/duty")
        yield opened
        opened.server.stop("immediate")


def test_a_server_that_goes_and_comes_back(office: Office, tmp_path: Path) -> None:
    """Down: one card, taken by nok. Up: it ends by itself. Down again: the same card, and a call in its thread."""
    office.server.stop("fast")
    card = office.alert("server-down", button=actions.ACKNOWLEDGE)
    assert "→" in card.text
    assert office.driver.click("nok", card, actions.ACKNOWLEDGE).acked
    taken = office.alert("server-down", text="has it, since")
    assert (taken.channel, taken.ts) == (card.channel, card.ts)
    started(office, tmp_path)
    ended = office.alert("server-down", text="Over at")
    assert not ended.buttons
    assert re.search(r"after \d", ended.text)
    office.server.stop("fast")
    again = office.alert("server-down", button=actions.SNOOZE_1H)
    assert (again.channel, again.ts) == (card.channel, card.ts)
    assert "for the 2nd time" in again.text
    called = office.see(
        lambda d: [m for m in d.messages(card.channel, thread_ts=card.ts) if "Its card is above." in m.text],
        "a call in its thread",
    )
    assert not called[0].buttons
    assert office.driver.click("ploy", again, actions.SNOOZE_1H).acked
    office.alert("server-down", text="lets it rest until")
    started(office, tmp_path)
    office.alert("server-down", text="Over at")
    office.until(lambda: not office.out_of_step(), "the cards", 60)


def test_a_failed_backup_is_one_card_until_the_next_success(office: Office, tmp_path: Path) -> None:
    """Two failures in a row share a card; the next backup that succeeds ends it."""
    office.server.stop("fast")
    for count in (1, 2):
        office.types("nok", "/backup now slips")
        office.until(lambda n=count: len(office.runs(Job.BASE_BACKUP, RunState.FAILED)) == n, "the failure")  # type: ignore[misc]
    first = office.alert("run-failed", "base-backup", button=actions.RESOLVE)
    newest = office.runs(Job.BASE_BACKUP, RunState.FAILED)[0]
    office.until(lambda: occurrence(office) == newest.id, "the newest failure on the card")
    started(office, tmp_path)
    office.backed_up()
    ended = office.alert("run-failed", "base-backup", text="Over at")
    assert (ended.channel, ended.ts) == (first.channel, first.ts)
    told = [m for m in office.driver.messages(ALERTS) if "A job failed" in m.text and not m.thread_ts]
    assert len(told) == 1


def test_a_channel_that_takes_nothing(office: Office, listener: Listener) -> None:
    """Cards for an archived channel are told among the alerts; opened again, and the bot started anew, they come and it ends."""
    office.driver.change_channel(RESULTS, is_archived=True)
    office.types("nok", "/backup now slips", ALERTS)
    told = office.alert("undelivered", "results", cluster="", text="archived")
    assert "pitstop check" in told.text
    office.driver.change_channel(RESULTS, is_archived=False)
    office.stop_bot()
    office.start_bot(PITSTOP_NOTIFY_URLS=f"json://{listener.url}/duty")
    office.alert("undelivered", "results", cluster="", text="Over at")
    office.until(lambda: not office.out_of_step(), "the cards", 60)


def occurrence(office: Office) -> str:
    """Return which failure the alert is about."""
    found = office.alert_row("run-failed", "base-backup")
    return found.concern.occurrence if found else ""


def test_the_heart_beats_and_what_is_no_page_stays_in_slack(office: Office, listener: Listener) -> None:
    """While all is well the address is fetched; the warnings of this module, shown in Slack, never reached the pager."""
    office.until(lambda: "/beat" in listener.paths, "a heartbeat", 90)
    found = office.alert_row("server-down")
    assert found is not None
    assert found.state is AlertState.RESOLVED
    assert [taken["title"] for taken in listener.taken if "[page]" not in taken["title"]] == []


def started(office: Office, tmp_path: Path) -> None:
    """Start the live server again."""
    was = office.server
    office.server = PlainServer.start(
        was.binaries,
        was.data_directory,
        was.account,
        socket_dir=was.socket_dir,
        settings=FAST,
        log=tmp_path / "server.log",
    )

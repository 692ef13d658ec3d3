"""`pitstop demo` in a real browser, from the first screen to the rows back: one person's hands, two people's decisions.

With PITSTOP_SCREENSHOTS=1 it also renews the pictures in `docs/screenshots`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as TooLate

from bot.demo.run import playground
from bot.demo.stage import Stage
from bot.ledger import alerts
from tests.acceptance.browser import WAIT_MS, Opener
from tests.acceptance.pictures import keep
from tests.servers import binaries_or_skip

pytestmark = [pytest.mark.browser, pytest.mark.pg, pytest.mark.xdist_group("story")]

PICTURES = Path(__file__).parents[2] / "docs" / "screenshots"
WANTED = os.environ.get("PITSTOP_SCREENSHOTS") == "1"
LARGEST_BYTES = 250_000
LATE_MS = 90_000
NOWHERE = (900, 4)


@pytest.fixture
def scene() -> Iterator[Stage]:
    """The demo as it is started by `pitstop demo`."""
    binaries_or_skip(18)
    with playground() as running:
        yield running


def picture(page: Page, name: str) -> None:
    """Keep what the window shows, if pictures are wanted."""
    if WANTED:
        page.mouse.move(*NOWHERE)
        page.wait_for_timeout(500)
        path = PICTURES / f"{name}.png"
        keep(page, path)
        assert path.stat().st_size <= LARGEST_BYTES, f"{path.name} is too large for a repository"


def runs(page: Page, text: str) -> None:
    """Type into the channel and send."""
    page.fill("#composer-text", text)
    page.press("#composer-text", "Enter")


def goes(page: Page, place: str) -> None:
    """Open a channel, or `@app`."""
    page.click(f'#sidebar [data-place="{place}"]')


def becomes(page: Page, handle: str) -> None:
    """Act as somebody else."""
    page.click(".persona-now")
    page.click(f'.menu [data-person="{handle}"]')


def test_a_dropped_table_comes_back_in_the_browser(scene: Stage, open_page: Opener) -> None:
    """Back up, drop the table, fill in `/pitr`, be refused alone, approve as somebody else, watch, compare: equal rows."""
    page = open_page(scene.url, height=900)
    page.set_default_timeout(LATE_MS)
    expect.set_options(timeout=LATE_MS)
    try:
        _take_a_backup(page)
        xid = _lose_the_table(page)
        _ask(page, xid)
        _send_the_plan(page)
        _be_refused_alone(page)
        _read_on_a_phone(scene, open_page)
        _approve(page)
        _watch(page)
        _compare(page)
        _look_elsewhere(scene, open_page)
        with scene.ledger.read() as tx:
            raised = [alert.concern for alert in alerts.list(tx)]
        assert not [one.sentence for one in raised if one.condition == "repository-away"], (
            "it was begun before the bot looked"
        )
    except Exception as error:
        error.add_note(scene.driver.transcript())
        error.add_note((scene.root / "pitstop" / "bot.log").read_text("utf-8", "replace")[-4_000:])
        raise
    finally:
        expect.set_options(timeout=WAIT_MS)


def _take_a_backup(page: Page) -> None:
    expect(page.locator(".link-state")).to_have_text("Pitstop is connected")
    expect(page.locator(".step.is-next")).to_contain_text("Take a base backup")
    page.evaluate("window.sameDocument = true")
    picture(page, "first")
    page.click(".step.is-next .chip")
    page.press("#composer-text", "Enter")
    expect(page.locator(".msg", has_text="Base backup of slips: done")).to_be_visible()
    runs(page, "/backup")
    expect(page.locator(".msg.whisper", has_text="recoverable")).to_be_visible()


def _lose_the_table(page: Page) -> int:
    page.click("button:has-text('Drop a table')")
    answer = page.locator(".demo-action .answer").first
    expect(answer).to_contain_text("rows are gone")
    found = re.search(r"in transaction (\d+)", answer.inner_text())
    assert found is not None
    return int(found[1])


def _ask(page: Page, xid: int) -> None:
    page.fill("#composer-text", "")
    page.locator("#composer-text").press_sequentially("/p")
    expect(page.locator("[role=option]").first).to_be_visible()
    picture(page, "commands")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog.modal")
    dialog.get_by_label("Cluster").click()
    page.get_by_role("option", name="slips").click()
    dialog.get_by_label("Go back to").fill(f"before:xid:{xid}")
    dialog.get_by_label("Reason").fill("Release 41’s migration dropped Transactions")
    picture(page, "modal")
    page.click("dialog .btn.primary")
    expect(dialog).to_have_count(0)


def _send_the_plan(page: Page) -> None:
    goes(page, "@app")
    card = page.locator(".msg", has_text="the plan is ready")
    expect(card).to_contain_text("nothing is overwritten")
    picture(page, "plan")
    card.get_by_role("button", name="Send for approval").click()
    expect(page.locator(".msg", has_text="waiting for approval")).to_be_visible()


def _be_refused_alone(page: Page) -> None:
    goes(page, "db-approvals")
    page.locator(".msg", has_text="waiting for approval").get_by_role("button", name="Approve").click()
    expect(page.locator(".msg.whisper")).to_contain_text("somebody else has to decide")
    expect(page.locator(".step.is-next")).to_contain_text("Be the DBA")


def _approve(page: Page) -> None:
    becomes(page, "somchai")
    card = page.locator(".msg", has_text="waiting for approval")
    expect(card).to_contain_text("migration dropped Transactions")
    expect(page.locator(".msg.whisper")).to_have_count(0)
    picture(page, "approval")
    card.get_by_role("button", name="Approve").click()


def _read_on_a_phone(scene: Stage, open_page: Opener) -> None:
    phone = open_page(_address(scene), width=380, height=800, phone=True)
    card = phone.locator(".msg", has_text="waiting for approval")
    expect(card.get_by_role("button", name="Approve")).to_be_in_viewport()
    assert phone.evaluate("document.documentElement.scrollWidth") == 380
    picture(phone, "phone")


def _address(scene: Stage) -> str:
    return f"{scene.url}/#U0SOMCHAI/C0APPROVALS"


def _watch(page: Page) -> None:
    page.locator(".replies").click()
    expect(page.locator("#aside .msg", has_text="Recovery of slips")).not_to_have_count(1)
    if WANTED:
        with suppress(TooLate):  # a fast recovery may be over before a bar is drawn
            page.locator("#aside .meter").wait_for(timeout=6_000)
    picture(page, "progress")
    expect(page.locator("#main .msg", has_text="Recovery of slips: done")).to_be_visible()
    expect(page.locator("#aside .msg").nth(1)).to_contain_text("Recovery of slips: done")
    assert page.evaluate("window.sameDocument"), "the page was loaded again; it should have moved by itself"
    page.keyboard.press("Escape")


def _compare(page: Page) -> None:
    expect(page.locator(".step.done")).to_have_count(7)
    page.click("button:has-text('Compare')")
    expect(page.locator(".demo-action .answer").last).to_contain_text("equal to what was dropped")
    card = page.locator("#main .msg", has_text="Recovery of slips: done")
    expect(card).to_contain_text("psql")
    expect(card).to_contain_text("Approved by @Somchai Prasert")
    box = card.bounding_box()
    assert box is not None
    page.set_viewport_size({"width": 1360, "height": int(box["height"]) + 190})
    picture(page, "result")


def _look_elsewhere(scene: Stage, open_page: Opener) -> None:
    dark = open_page(_address(scene), height=900, dark=True)
    expect(dark.locator(".msg", has_text="Recovery of slips: done")).to_be_visible()
    dark.locator(".replies").click()
    expect(dark.locator("#aside .msg").nth(1)).to_be_visible()
    picture(dark, "dark")

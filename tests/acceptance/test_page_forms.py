"""The sandbox's modals and Home in a real browser: filled, checked, sent, and left by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from bot.sandbox.server import Sandbox
from tests.acceptance.browser import Opener
from tests.acceptance.page_ground import (
    FORM,
    NOK,
    at,
    button,
    hears,
    modal,
    opens,
    plain,
    question,
    section,
    types,
)
from tests.acceptance.pretend_app import PretendApp

pytestmark = pytest.mark.browser


def _offer(payload: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in ("orders", "slips") if payload["value"] in name]
    return {"options": [{"text": plain(name), "value": name} for name in names]}


def test_a_form_is_filled_checked_and_sent(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """Type-ahead, text, moment and reason reach the app as Slack sends them; what is wrong is said at its field."""
    opens(app, FORM)
    app.answers["block_suggestion"] = _offer
    page = open_page(at(sandbox))
    types(page, "/pitr")
    dialog = page.locator("dialog.modal")
    expect(dialog.get_by_role("heading")).to_have_text("Recovery")
    dialog.get_by_label("Reason").fill("a migration")
    page.click("dialog .btn.primary")
    expect(page.locator('[data-block="cluster"] .wrong')).to_have_text("Please complete this required field.")
    expect(dialog.get_by_label("Cluster")).to_be_focused()
    page.keyboard.type("sl")
    expect(page.locator("dialog [role=option]")).to_have_text(["slips"])
    filled_in = hears(page, app, "block_suggestion")["view"]["state"]["values"]
    assert filled_in["reason"]["reason"]["value"] == "a migration", "what else is filled in goes along"
    page.keyboard.press("Enter")
    dialog.get_by_label("or pick the minute: day").fill("2026-11-22")
    dialog.get_by_label("or pick the minute: time").fill("03:12")
    app.answers["view_submission"] = lambda _: {"response_action": "errors", "errors": {"target": "In the future."}}
    page.click("dialog .btn.primary")
    expect(page.locator('[data-block="target"] .wrong')).to_have_text("In the future.")
    expect(dialog.get_by_label("Go back to")).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_label("Reason")).to_have_value("a migration")
    del app.answers["view_submission"]
    page.click("dialog .btn.primary")
    expect(dialog).to_have_count(0)
    values = hears(page, app, "view_submission")["view"]["state"]["values"]
    assert values["cluster"]["cluster"]["selected_option"]["value"] == "slips"
    assert values["at"]["at"]["selected_date_time"] == 1795291920  # 03:12 in Bangkok
    assert values["reason"]["reason"]["value"] == "a migration"


def test_a_modal_keeps_the_keyboard_inside_and_gives_it_back(
    sandbox: Sandbox, app: PretendApp, open_page: Opener
) -> None:
    """Tab goes round inside, Escape closes, and the keyboard is where it was before."""
    opens(app, FORM)
    page = open_page(at(sandbox))
    types(page, "/pitr")
    expect(page.get_by_label("Cluster")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("dialog .combo p")).to_have_text("Nothing fits.")
    page.keyboard.press("Escape")  # closes the list, not the form
    expect(page.locator("dialog.modal")).to_be_visible()
    for _ in range(24):
        page.keyboard.press("Tab")
        inside = "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    expect(page.locator("dialog.modal")).to_have_count(0)
    expect(page.locator("#composer-text")).to_be_focused()


def test_a_view_that_changes_keeps_what_was_typed(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """A loading view turns into a form; an update keeps the letters and the caret; a pushed view leads back."""
    opens(app, modal(section("Looking …"), submit=""))
    page = open_page(at(sandbox))
    types(page, "/pitr")
    expect(page.locator("dialog .sheet")).to_have_attribute("aria-busy", "true")
    view_id = sandbox.driver().state("nok")["views"][0]["id"]
    text = question("reason", "Reason", {"type": "plain_text_input"})
    app.client.views_update(view_id=view_id, view=modal(text, button("More", "more")))
    page.get_by_label("Reason").fill("because")
    app.client.views_update(view_id=view_id, view=modal(section("The plan is ready."), text, button("More", "more")))
    expect(page.locator("dialog")).to_contain_text("The plan is ready.")
    expect(page.get_by_label("Reason")).to_have_value("because")
    expect(page.get_by_label("Reason")).to_be_focused()

    def push(payload: dict[str, Any]) -> None:
        app.client.views_push(trigger_id=payload["trigger_id"], view=modal(section("Deeper"), title="More", submit=""))

    app.answers["block_actions"] = push
    page.click("dialog .btn:has-text('More')")
    expect(page.locator("dialog h2")).to_have_text("More")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Reason")).to_have_value("because")


def test_the_home_tab_is_drawn_for_its_person(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """Opening the tab tells the app, what it publishes appears, and before that the page says that there is nothing."""
    page = open_page(at(sandbox, channel="D0NOK"))
    page.get_by_role("tab", name="Home").click()
    expect(page.locator(".empty")).to_contain_text("no Home tab yet")
    app.client.views_publish(user_id=NOK, view={"type": "home", "blocks": [section("*3 clusters* are safe")]})
    expect(page.locator(".home")).to_contain_text("3 clusters are safe")
    assert hears(page, app, "event_callback")["event"]["type"] == "app_home_opened"

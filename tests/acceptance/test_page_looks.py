"""The sandbox's page for everybody: dark and light, readable, on a phone, by name and by touch."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from bot.sandbox.server import Sandbox
from tests.acceptance.browser import Opener
from tests.acceptance.page_ground import (
    EVERY_BLOCK,
    FORM,
    at,
    button,
    opens,
    post,
    section,
    types,
)
from tests.acceptance.pretend_app import PretendApp

pytestmark = pytest.mark.browser


def test_dark_follows_the_system_until_somebody_chooses(sandbox: Sandbox, open_page: Opener) -> None:
    """The page is dark where the system is; the switch wins over it and is remembered."""
    page = open_page(at(sandbox), dark=True)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert _light(page.evaluate(ground)) < 0.1
    page.get_by_role("button", name="Light colours").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.reload()
    page.wait_for_selector(".place")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_on_its_ground(sandbox: Sandbox, open_page: Opener, dark: bool) -> None:
    """Text and its ground differ by WCAG's 4.5 to 1 in both colour schemes."""
    page = open_page(at(sandbox), dark=dark)
    pairs = [("ink", "bg"), ("ink-2", "bg"), ("ink-3", "bg"), ("link", "bg"), ("danger", "bg"), ("code", "bg-sunk")]
    pairs += [("on-accent", "accent"), ("mention", "mention-soft"), ("warn", "warn-soft"), ("ink-2", "whisper")]
    pairs += [("side-ink", "side-2"), ("side-active-ink", "side-active"), ("accent-strong", "accent-soft")]
    weak = {pair: round(found, 2) for pair in pairs if (found := _contrast(page, *pair)) < 4.5}
    assert not weak


def test_a_phone_shows_all_of_it(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """At 360 pixels everything is reached through drawers, targets are 44 pixels high, and nothing scrolls sideways."""
    opens(app, FORM)
    ts = post(app, "a request", blocks=[section("*Plan* " + "long words " * 40), button("Approve", "approve")])
    post(app, "step", thread_ts=ts)
    page = open_page(at(sandbox), width=360, height=740, phone=True)
    expect(page.locator(".next")).to_contain_text("Next: Ask for a recovery")
    page.tap("[data-menu]")
    expect(page.locator("#sidebar")).to_be_in_viewport()
    _assert_touchable(page, "#sidebar button")
    page.tap(".persona-now")
    _assert_touchable(page, ".menu button")
    page.tap('.menu [data-person="somchai"]')
    expect(page.locator("#sidebar")).not_to_be_in_viewport()
    _assert_touchable(page, "#main :is(button, textarea)")
    page.tap(".replies")
    expect(page.locator("#aside .msg")).to_have_count(2)
    _assert_touchable(page, "#aside button")
    page.get_by_role("button", name="Close thread").tap()
    types(page, "/pitr")
    expect(page.locator("dialog.modal")).to_be_visible()
    _assert_touchable(page, "dialog :is(button, input)")
    box = page.locator("dialog.modal").bounding_box()
    assert box is not None
    assert box["width"] == 360
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_phones_keyboard_does_not_cover_the_composer(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """When the window shrinks for the keyboard, the composer and the newest message stay in sight."""
    for number in range(20):
        post(app, f"line {number}")
    page = open_page(at(sandbox), width=360, height=740, phone=True)
    page.tap("#composer-text")
    page.set_viewport_size({"width": 360, "height": 400})
    expect(page.locator("#composer-text")).to_be_in_viewport(ratio=1)
    expect(page.locator(".msg").last).to_be_in_viewport()


def test_everything_has_a_name(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """What a screen reader can reach has a name, in the channel with every kind of element and in a form."""
    opens(app, FORM)
    post(app, "everything", blocks=EVERY_BLOCK)
    page = open_page(at(sandbox))
    assert _nameless(page) == []
    types(page, "/pitr")
    expect(page.locator("dialog.modal")).to_be_visible()
    assert _nameless(page) == []


def _assert_touchable(page: Page, selector: str) -> None:
    """Each visible target is at least 44 pixels high."""
    sizes = page.eval_on_selector_all(
        selector,
        """nodes => nodes.filter(n => n.checkVisibility({visibilityProperty: true}) && n.offsetHeight)
             .map(n => [n.ariaLabel || n.textContent.slice(0, 30), Math.round(n.getBoundingClientRect().height)])""",
    )
    assert sizes
    assert [found for found in sizes if found[1] < 44] == []


def _nameless(page: Page) -> list[str]:
    """Return the roles of focusable things without an accessible name, as the browser computes it."""
    session = page.context.new_cdp_session(page)
    session.send("Accessibility.enable")
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "textbox", "combobox", "checkbox", "radio", "tab", "dialog", "log", "option", "DateTime"}
    session.detach()
    return [
        node["role"]["value"]
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in roles
        and not node.get("name", {}).get("value")
    ]


def _contrast(page: Page, ink: str, ground: str) -> float:
    colours = page.evaluate(
        """names => names.map(name => {
             const probe = document.body.appendChild(document.createElement('i'));
             probe.style.setProperty('color', `var(--${name})`);
             const found = getComputedStyle(probe).color;
             probe.remove();
             return found;
           })""",
        [ink, ground],
    )
    lighter, darker = sorted((_light(colour) for colour in colours), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _light(colour: str) -> float:
    """Return the relative luminance of `rgb(…)` (WCAG 2)."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

"""A real browser for the page: one Chromium for all tests, a fresh profile per window, and no error left unseen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 15_000


class Opener(Protocol):
    """Opens the page of `url` in a window of its own."""

    def __call__(
        self, url: str, *, width: int = 1360, height: int = 860, dark: bool = False, phone: bool = False
    ) -> Page: ...


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    if not found:
        pytest.skip("no Chromium; install it with: apt-get install chromium")
    expect.set_options(timeout=WAIT_MS)  # a busy machine is no failure
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Opener]:
    """Open windows; at the end none may have logged an error, thrown one, or asked for what its policy forbids."""
    troubles: list[str] = []
    with ExitStack() as cleanup:

        def open_one(
            url: str, *, width: int = 1360, height: int = 860, dark: bool = False, phone: bool = False
        ) -> Page:
            options: dict[str, Any] = {"has_touch": True, "is_mobile": True} if phone else {}
            context = chromium.new_context(
                viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **options
            )
            cleanup.callback(context.close)
            context.set_default_timeout(WAIT_MS)
            page = context.new_page()
            page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
            page.on("console", lambda message: troubles.extend(_trouble(message)))
            page.goto(url)
            page.wait_for_selector("#main .bar")
            return page

        yield open_one
    assert troubles == []


def _trouble(message: ConsoleMessage) -> list[str]:
    """Say what is wrong with a console message; a refusal (409), which the page tells its reader, is in order."""
    refused = "/control/" in message.location.get("url", "") and "409" in message.text
    return [] if refused or message.type not in {"error", "warning"} else [f"{message.type}: {message.text}"]

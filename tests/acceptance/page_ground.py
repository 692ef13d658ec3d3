"""What the tests of the sandbox's page share: a workspace with an app of the test's own, and what both say and do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from bot.sandbox.server import Sandbox
from bot.sandbox.values import Action, Step, TryThis
from tests.acceptance.pretend_app import PretendApp, pretend_app

BACKUPS, APPROVALS = "C0BACKUPS", "C0APPROVALS"
NOK, PLOY, KIT = "U0NOK", "U0PLOY", "U0KIT"
OFFER = TryThis(
    "From a dropped table to rows back",
    "You play everybody.",
    (
        Step("Ask for a recovery", "/pitr slips latest", "db-backups", "nok"),
        Step("Approve it", "", "db-approvals", "somchai"),
    ),
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A workspace without a bot."""
    drop = Action("drop", "Drop a table", "A migration goes wrong", lambda: "Dropped in transaction 84213.", "danger")
    with Sandbox.start(actions=(drop,), try_this=OFFER, rate_limits=False) as running:
        yield running


@pytest.fixture
def app(sandbox: Sandbox) -> Iterator[PretendApp]:
    """An app in it that does what the test says."""
    with pretend_app(sandbox) as connected:
        yield connected


def at(sandbox: Sandbox, user: str = NOK, channel: str = BACKUPS) -> str:
    """Return the address of a person's channel."""
    return f"{sandbox.url}/#{user}/{channel}"


def post(app: PretendApp, text: str, channel: str = BACKUPS, **more: Any) -> str:
    """Post as the app and return the timestamp."""
    return str(app.client.chat_postMessage(channel=channel, text=text, **more)["ts"])


def plain(text: str) -> dict[str, Any]:
    """Return a plain text object."""
    return {"type": "plain_text", "text": text}


def section(text: str) -> dict[str, Any]:
    """Return a section of mrkdwn."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def button(label: str, action: str, **more: Any) -> dict[str, Any]:
    """Return a row with one button."""
    return {"type": "actions", "elements": [{"type": "button", "text": plain(label), "action_id": action, **more}]}


def question(block: str, label: str, element: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an input block whose element's action id is the block's."""
    return {
        "type": "input",
        "block_id": block,
        "label": plain(label),
        "element": {"action_id": block, **element},
        **more,
    }


def modal(*blocks: dict[str, Any], title: str = "Recovery", submit: str = "Make a plan") -> dict[str, Any]:
    """Return a modal's view."""
    more = {"submit": plain(submit), "close": plain("Close")} if submit else {}
    return {"type": "modal", "callback_id": "form", "title": plain(title), "blocks": list(blocks), **more}


def opens(app: PretendApp, view: dict[str, Any]) -> None:
    """Let every command open this modal."""

    def answer(command: dict[str, Any]) -> None:
        app.client.views_open(trigger_id=command["trigger_id"], view=view)

    app.answers["command"] = answer


def types(page: Page, text: str) -> None:
    """Write in the channel and send."""
    page.fill("#composer-text", text)
    page.press("#composer-text", "Enter")


def becomes(page: Page, handle: str) -> None:
    """Choose another person in the sidebar."""
    page.click(".persona-now")
    page.click(f'.menu [data-person="{handle}"]')


def hears(page: Page, app: PretendApp, kind: str) -> dict[str, Any]:
    """Return the last payload of a kind, waiting for the first."""
    for _ in range(100):
        found = [each for each in app.heard if each["type"] == kind]
        if found:
            return found[-1]
        page.wait_for_timeout(50)
    raise AssertionError(f"the app heard no {kind}: {[each['type'] for each in app.heard]}")


EVERY_BLOCK: list[dict[str, Any]] = [
    {"type": "header", "text": plain("A header")},
    section(
        "*Bold* _italic_ ~struck~ `code` <https://example.com|a link> <@U0NOK> <!subteam^S0DBAS> <#C0ALERTS> :warning:"
    ),
    {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Left*\n1"}, {"type": "mrkdwn", "text": "*Right*\n2"}]},
    {
        **section("With a menu"),
        "accessory": {
            "type": "overflow",
            "action_id": "more",
            "options": [{"text": plain("One"), "value": "1"}, {"text": plain("Two"), "value": "2"}],
        },
    },
    {"type": "divider"},
    {"type": "context", "elements": [{"type": "mrkdwn", "text": "Small print"}]},
    {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "A chart from elsewhere"},
    {
        "type": "actions",
        "elements": [
            {"type": "button", "text": plain("Approve"), "action_id": "b1", "style": "primary"},
            {"type": "button", "text": plain("Deny"), "action_id": "b2", "style": "danger"},
            {
                "type": "static_select",
                "action_id": "s1",
                "placeholder": plain("Choose"),
                "options": [{"text": plain("A"), "value": "a"}],
            },
            {"type": "datepicker", "action_id": "d1"},
            {"type": "timepicker", "action_id": "t1"},
            {"type": "datetimepicker", "action_id": "dt1"},
            {"type": "users_select", "action_id": "u1", "placeholder": plain("Who")},
            {"type": "channels_select", "action_id": "c1", "placeholder": plain("Where")},
            {"type": "checkboxes", "action_id": "x1", "options": [{"text": plain("Check"), "value": "c"}]},
            {"type": "radio_buttons", "action_id": "r1", "options": [{"text": plain("Only"), "value": "o"}]},
        ],
    },
    {
        "type": "rich_text",
        "elements": [
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "Rich", "style": {"bold": True}}]},
            {
                "type": "rich_text_list",
                "style": "bullet",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "item"}]}],
            },
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "SELECT 1"}]},
        ],
    },
    {"type": "markdown", "text": "# Title\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n**bold** `code`"},
    {
        "type": "table",
        "rows": [
            [{"type": "raw_text", "text": "Table"}, {"type": "raw_text", "text": "Rows"}],
            [{"type": "raw_text", "text": "Transactions " * 12}, {"type": "raw_text", "text": "1,204,551"}],
        ],
    },
    {"type": "plan", "title": "Steps", "tasks": [{"task_id": "1", "title": "Fetch", "status": "in_progress"}]},
    {"type": "task_card", "task_id": "2", "title": "Replay", "status": "pending"},
]

FORM = modal(
    question("cluster", "Cluster", {"type": "external_select", "min_query_length": 0}),
    question("target", "Go back to", {"type": "plain_text_input"}, hint=plain("14:30, latest …"), optional=True),
    question("at", "or pick the minute", {"type": "datetimepicker"}, optional=True),
    question("reason", "Reason", {"type": "plain_text_input", "multiline": True}),
)

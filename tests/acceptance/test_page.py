"""The sandbox's page in a real browser, with an app of the test's own: what is drawn, done, escaped, and reached by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from bot.sandbox.server import Sandbox
from bot.sandbox.values import Action, Step, TryThis
from tests.acceptance.browser import Opener
from tests.acceptance.pretend_app import PretendApp, pretend_app

pytestmark = pytest.mark.browser

BACKUPS, APPROVALS = "C0BACKUPS", "C0APPROVALS"
NOK, PLOY, KIT = "U0NOK", "U0PLOY", "U0KIT"
EVIL = """<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"""
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


# -- what it says at first -------------------------------------------------------------------------------------------------


def test_the_first_screen_says_what_to_try(sandbox: Sandbox, open_page: Opener) -> None:
    """The panel lists the steps, marks the next one, fills the command in when pressed, and its button acts outside Slack."""
    page = open_page(sandbox.url)
    expect(page.locator(".step")).to_have_count(2)
    expect(page.locator(".step.is-next")).to_contain_text("Ask for a recovery")
    page.click(".chip:has-text('/pitr slips latest')")
    expect(page.locator("#composer-text")).to_have_value("/pitr slips latest")
    expect(page.locator("#composer-text")).to_be_focused()
    page.click("button:has-text('Drop a table')")
    expect(page.locator(".demo-action .answer")).to_have_text("Dropped in transaction 84213.")
    sandbox.driver().try_this("Done", [{"text": "Rows are back", "done": True}])
    expect(page.locator(".try > h3")).to_have_text("Done")


def test_the_link_state_is_honest(sandbox: Sandbox, open_page: Opener) -> None:
    """Without a bot the page says that the app is not connected, and a command says so instead of vanishing."""
    page = open_page(at(sandbox))
    expect(page.locator(".link-state")).to_have_text("Pitstop is not connected")
    types(page, "/backup now slips")
    expect(page.locator(".toast.bad")).to_contain_text("Pitstop is not connected")
    expect(page.locator("#composer-text")).to_have_value("/backup now slips")
    page.click(".toast-close")
    expect(page.locator("#toasts")).to_be_hidden()


# -- what it draws ---------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("width", [1360, 360])
def test_every_block_is_drawn_within_the_width(
    sandbox: Sandbox, app: PretendApp, open_page: Opener, width: int
) -> None:
    """Every kind of block and element of a message is drawn, and nothing makes the page wider than its window."""
    post(app, "everything", blocks=EVERY_BLOCK)
    post(app, "long", blocks=[section("`" + "x" * 900 + "`"), section("y" * 900), button("w" * 75, "wide")])
    page = open_page(at(sandbox), width=width, phone=width < 500)
    expect(page.locator(".msg")).to_have_count(2)
    expect(page.locator(".b-unknown")).to_have_count(0)
    for words in ("A header", "Small print", "A chart from elsewhere", "SELECT 1", "1,204,551", "Replay"):
        expect(page.locator(".msg").first).to_contain_text(words)
    expect(page.locator(".msg .mention")).to_have_text(["@Nok Srisai", "@dbas", "#db-alerts"])
    lines = """cell => {
      const words = document.createRange();
      words.selectNodeContents(cell);
      return words.getClientRects().length;
    }"""
    assert page.locator("td", has_text="1,204,551").evaluate(lines) == 1, "a number is never broken"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.log').scrollWidth") <= width


def test_foreign_text_stays_text(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """Markup in messages, labels, options, names, errors and toasts is shown, never run; links lead to the web only."""
    sandbox.driver().change_person("ploy", real_name=EVIL, title=EVIL)
    sandbox.driver().change_channel("db-backups", topic=EVIL)
    escaped = EVIL.replace("<", "&lt;").replace(">", "&gt;")
    blocks = [
        {"type": "header", "text": plain(EVIL[:150])},
        section(f"{escaped} <javascript:alert(1)|press> <https://example.com|{escaped}> <@U0PLOY>"),
        {"type": "markdown", "text": f"{EVIL} [x](javascript:alert(1)) `{EVIL}`"},
        {"type": "table", "rows": [[{"type": "raw_text", "text": EVIL}]]},
        button(EVIL[:75], "evil"),
    ]
    post(app, escaped, blocks=blocks)
    post(app, escaped)
    sandbox.driver().say("ploy", "db-backups", EVIL)
    app.answers["command"] = lambda _: {"text": escaped}
    page = open_page(at(sandbox))
    expect(page.locator(".msg")).to_have_count(3)
    types(page, f"/backup {EVIL}")
    expect(page.locator(".msg.whisper .body")).to_have_text(EVIL)
    page.click(".persona-now")
    expect(page.locator(".b-header")).to_have_text(EVIL)
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img[src='x'], main script, #sidebar script").count() == 0
    hrefs = page.eval_on_selector_all(".msg a", "links => links.map(a => a.protocol)")
    assert set(hrefs) <= {"https:", "http:", "mailto:"}


def test_a_block_that_cannot_be_drawn_hides_nothing_else(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """Attachments come unchecked: what is malformed in them is said so, and the rest stands."""
    broken = [{"type": "header"}, {"type": "constructor"}, None, section("still here")]
    post(app, "with an attachment", attachments=[{"blocks": broken}])
    post(app, "the next one")
    page = open_page(at(sandbox))
    expect(page.locator(".b-unknown")).to_have_count(3)
    expect(page.locator(".attached")).to_contain_text("still here")
    expect(page.locator(".msg").last).to_contain_text("the next one")


def test_times_are_shown_in_the_readers_zone(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """`<!date^…>` reads 21:30 in Bangkok and 15:30 in Berlin for the same second."""
    post(app, "fallback", blocks=[section("at <!date^1700058600^{date_num} {time_secs}|2023-11-15 14:30 UTC>")])
    page = open_page(at(sandbox))
    expect(page.locator(".date")).to_have_text("2023-11-15 21:30:00")
    becomes(page, "ploy")
    expect(page.locator(".date")).to_have_text("2023-11-15 15:30:00")


def test_pictures_are_shown_and_other_files_are_saved(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """A chart the app uploads is a picture with its title; a text file is a link to save it."""
    pixel = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
        "a5f645400000000049454e44ae426082"
    )
    app.client.files_upload_v2(channel=BACKUPS, filename="sizes.png", title="Sizes", content=pixel)
    app.client.files_upload_v2(channel=BACKUPS, filename="audit.txt", title="Audit", content="one line")
    page = open_page(at(sandbox))
    expect(page.locator(".picture img")).to_have_attribute("alt", "Sizes")
    assert page.eval_on_selector(".picture img", "i => i.decode().then(() => i.naturalWidth)") == 1
    with page.expect_download() as saved:
        page.click("a.file")
    assert saved.value.suggested_filename == "audit.txt"


# -- what happens by itself ------------------------------------------------------------------------------------------------


def test_a_card_moves_by_itself_and_leaves_the_keyboard_alone(
    sandbox: Sandbox, app: PretendApp, open_page: Opener
) -> None:
    """An edit shows up without a reload, in place, and the button that had the focus still has it."""
    ts = post(app, "running", blocks=[section("`████░░░░ 40 %`"), button("Cancel", "cancel")])
    page = open_page(at(sandbox))
    page.focus(".msg .btn")
    app.client.chat_update(
        channel=BACKUPS, ts=ts, text="x", blocks=[section("`████████ 80 %`"), button("Cancel", "cancel")]
    )
    expect(page.locator(".msg .meter")).to_have_text("████████ 80 %")
    expect(page.locator(".msg .btn")).to_be_focused()  # though its block has another id, as each edit should bring
    app.client.chat_delete(channel=BACKUPS, ts=ts)
    expect(page.locator(".msg")).to_have_count(0)


def test_new_messages_below_are_announced_not_scrolled_to(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """Somebody who reads further up keeps their place and is told; at the end the list follows."""
    for number in range(30):
        post(app, f"line {number}")
    page = open_page(at(sandbox))
    expect(page.locator(".msg").last).to_be_in_viewport()
    page.eval_on_selector(".log", "log => { log.scrollTop = 0; }")
    expect(page.locator(".intro")).to_be_in_viewport()
    page.wait_for_timeout(100)  # the page hears of the scrolling a moment later
    post(app, "the newest")
    expect(page.locator(".more-below")).to_be_visible()
    assert page.eval_on_selector(".log", "log => log.scrollTop") == 0
    page.click(".more-below")
    expect(page.locator(".msg").last).to_be_in_viewport()
    post(app, "and one more")
    expect(page.locator(".msg").last).to_have_text(re.compile("and one more"))
    expect(page.locator(".msg").last).to_be_in_viewport()


def test_what_arrives_disturbs_nobody(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """An open menu stays open, the focus stays on its button, and a half-written message stays as it is."""
    page = open_page(at(sandbox))
    page.fill("#composer-text", "half a sen")
    post(app, "for <@U0NOK>", APPROVALS)
    expect(page.locator(".place .badge")).to_have_text("1")
    expect(page.locator("#composer-text")).to_be_focused()
    page.focus(".try-toggle")
    post(app, "more for <@U0NOK>", APPROVALS)
    expect(page.locator(".place .badge")).to_have_text("2")
    expect(page.locator(".try-toggle")).to_be_focused()
    page.click(".persona-now")
    post(app, "here")
    expect(page.locator(".msg")).to_have_count(1)
    expect(page.locator(".persona .menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".persona-now")).to_be_focused()
    sandbox.driver().change_channel("db-backups", topic="Changed meanwhile")
    expect(page.locator(".topic")).to_have_text("Changed meanwhile")
    expect(page.locator("#composer-text")).to_have_value("half a sen")


def test_unread_channels_say_so(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """A mention elsewhere raises a number in the sidebar and in the tab's title, gone once read."""
    page = open_page(at(sandbox))
    post(app, "for <@U0NOK>", APPROVALS)
    expect(page.locator('[data-place="db-approvals"] .badge')).to_have_text("1")
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    page.click('[data-place="db-approvals"]')
    expect(page.locator(".place .badge")).to_have_count(0)


# -- what people do --------------------------------------------------------------------------------------------------------


def test_commands_are_completed_by_keyboard_and_answered_in_private(
    sandbox: Sandbox, app: PretendApp, open_page: Opener
) -> None:
    """Slash opens a list, arrows and Enter choose, the app hears the rest; its answer is marked and nobody else sees it."""
    app.answers["command"] = lambda command: {"text": f"heard {command['command']} {command['text']}"}
    page = open_page(at(sandbox))
    page.focus("#composer-text")
    page.keyboard.type("/")
    expect(page.locator("[role=option]")).to_have_count(3)
    page.keyboard.press("ArrowDown")
    expect(page.locator("[role=option][aria-selected=true]")).to_contain_text("/pitr")
    page.keyboard.press("Enter")
    expect(page.locator("#composer-text")).to_have_value("/pitr ")
    expect(page.locator(".composer-hint")).to_contain_text("CLUSTER TARGET")
    page.keyboard.type("slips before 14:30")
    page.keyboard.press("Enter")
    whisper = page.locator(".msg.whisper")
    expect(whisper).to_contain_text("Only visible to you")
    expect(whisper).to_contain_text("heard /pitr slips before 14:30")
    expect(page.locator("#composer-text")).to_have_value("")
    becomes(page, "ploy")
    expect(page.locator(".persona-now")).to_contain_text("Ploy")
    expect(page.locator(".msg.whisper")).to_have_count(0)
    becomes(page, "nok")
    page.click(".only-you button")
    expect(page.locator(".msg.whisper")).to_have_count(0)


def test_a_button_asks_first_and_then_reaches_the_app(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """A confirmation stands between the press and the app; going back tells it nothing."""
    confirm = {
        "title": plain("Remove it?"),
        "text": plain("Its data goes."),
        "confirm": plain("Remove"),
        "deny": plain("Keep"),
    }
    post(app, "a server", blocks=[button("Remove", "remove", value="srv-1", confirm={**confirm, "style": "danger"})])
    page = open_page(at(sandbox))
    page.click(".msg .btn")
    expect(page.locator("dialog.question")).to_contain_text("Its data goes.")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.question")).to_have_count(0)
    assert app.heard == []
    page.click(".msg .btn")
    page.click("dialog.question .btn.danger")
    used = hears(page, app, "block_actions")["actions"][0]
    assert (used["action_id"], used["value"]) == ("remove", "srv-1")


def test_threads_are_read_and_answered_beside(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """Replies stay out of the channel; the pane shows them as they come; a command is refused there with a reason."""
    ts = post(app, "the request", APPROVALS)
    post(app, "step one", APPROVALS, thread_ts=ts)
    page = open_page(at(sandbox, channel=APPROVALS))
    expect(page.locator("#main .msg")).to_have_count(1)
    page.click(".replies")
    expect(page.locator("#aside .msg")).to_have_count(2)
    expect(page.locator("#thread-text")).to_be_focused()
    page.keyboard.type("thanks")
    page.keyboard.press("Enter")
    expect(page.locator("#aside .msg").last).to_contain_text("thanks")
    expect(page.locator(".replies")).to_contain_text("2 replies")
    page.keyboard.type("/pitr slips")
    page.keyboard.press("Enter")
    expect(page.locator(".toast.bad")).to_contain_text("cannot be used in a thread")
    page.keyboard.press("Escape")
    expect(page.locator("#thread-text")).to_have_count(0)


def test_people_see_what_they_may_see(sandbox: Sandbox, open_page: Opener) -> None:
    """A guest has two channels and is marked as one; somebody who left cannot be chosen; the tab remembers who it is."""
    page = open_page(at(sandbox))
    page.click(".persona-now")
    expect(page.locator('.menu [data-person="malee"]')).to_be_disabled()
    expect(page.locator('.menu [data-person="kit"] .tag')).to_have_text("guest")
    page.click('.menu [data-person="kit"]')
    expect(page.locator(".place .name")).to_have_text(["db-backups", "general", "Pitstop"])
    page.reload()
    expect(page.locator(".persona-now")).to_contain_text("Kit Larsen")


def test_permalinks_open_their_message(sandbox: Sandbox, app: PretendApp, open_page: Opener) -> None:
    """A permalink leads to its message, also to one inside a thread, from the address bar and from a message."""
    ts = post(app, "the request", APPROVALS)
    reply = post(app, "deep inside", APPROVALS, thread_ts=ts)
    link = str(app.client.chat_getPermalink(channel=APPROVALS, message_ts=reply)["permalink"])
    path = "/archives/" + link.split("/archives/")[1]
    page = open_page(sandbox.url + path)
    expect(page.locator("#aside .msg").last).to_contain_text("deep inside")
    post(app, f"see <{sandbox.url}{path}|there>")
    page.click('[data-place="db-backups"]')
    page.click(".msg a")
    expect(page.locator("#aside .msg").last).to_contain_text("deep inside")


# -- modals and Home -------------------------------------------------------------------------------------------------------


FORM = modal(
    question("cluster", "Cluster", {"type": "external_select", "min_query_length": 0}),
    question("target", "Go back to", {"type": "plain_text_input"}, hint=plain("14:30, latest …"), optional=True),
    question("at", "or pick the minute", {"type": "datetimepicker"}, optional=True),
    question("reason", "Reason", {"type": "plain_text_input", "multiline": True}),
)


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


# -- looks -----------------------------------------------------------------------------------------------------------------


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

"""The sandbox's page in a real browser: what is drawn, escaped, announced, and answered."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from bot.sandbox.server import Sandbox
from tests.acceptance.browser import Opener
from tests.acceptance.page_ground import (
    APPROVALS,
    BACKUPS,
    EVERY_BLOCK,
    at,
    becomes,
    button,
    hears,
    plain,
    post,
    section,
    types,
)
from tests.acceptance.pretend_app import PretendApp

pytestmark = pytest.mark.browser

EVIL = """<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"""


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

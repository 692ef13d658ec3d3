"""The sandbox refuses what Slack refuses, by the real SDK's hands: what passes here is not to fail there."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from bot.sandbox.server import Sandbox
from tests.acceptance.page_ground import BACKUPS, NOK, PLOY, app, button, modal, plain, post, question, sandbox, section
from tests.acceptance.pretend_app import PretendApp, pretend_app

__all__ = ["app", "sandbox"]

Json = dict[str, Any]


def error_of(call: Callable[[], object]) -> str:
    """Return the error a call is answered with."""
    with pytest.raises(SlackApiError) as refused:
        call()
    return str(refused.value.response["error"])


def texts(count: int) -> list[Json]:
    """Return that many sections."""
    return [section("x") for _ in range(count)]


def row(count: int) -> Json:
    """Return a row of that many buttons."""
    made = [{"type": "button", "text": plain("x"), "action_id": f"a{n}"} for n in range(count)]
    return {"type": "actions", "elements": made}


TOO_MUCH: dict[str, tuple[list[Json], str]] = {
    "blocks": (texts(51), ""),
    "section": ([section("x" * 3001)], "/blocks/0/text"),
    "header": ([section("x"), {"type": "header", "text": plain("x" * 151)}], "/blocks/1/text"),
    "buttons": ([row(26)], "/blocks/0/elements"),
    "label": ([button("x" * 76, "a")], "/blocks/0/elements/0/text"),
    "value": ([button("x", "a", value="x" * 2001)], "/blocks/0/elements/0/value"),
    "fields": ([{"type": "section", "fields": [plain("x")] * 11}], "/blocks/0/fields"),
    "context": ([{"type": "context", "elements": [plain("x")] * 11}], "/blocks/0/elements"),
    "empty": ([section("")], "/blocks/0/text"),
    "unknown": ([{"type": "marquee"}], "/blocks/0"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_blocks_beyond_a_limit_are_refused_with_their_place(app: PretendApp, what: str) -> None:
    """`invalid_blocks`, with a JSON pointer to what is wrong; nothing is posted."""
    blocks, place = TOO_MUCH[what]
    with pytest.raises(SlackApiError) as refused:
        app.client.chat_postMessage(channel=BACKUPS, text="x", blocks=blocks)
    assert refused.value.response["error"] == "invalid_blocks"
    assert place in " ".join(refused.value.response["errors"])


def test_what_fits_exactly_is_taken(app: PretendApp) -> None:
    """The largest of everything passes."""
    post(app, "x", blocks=[*texts(48), section("x" * 3000), row(25)])
    post(app, "x", blocks=[button("x" * 75, "a", value="x" * 2000)])


def test_texts_have_limits_of_their_own(sandbox: Sandbox, app: PretendApp) -> None:
    """A post is cut at 40,000 characters, an edit above 4,000 refused, and a message without anything too."""
    ts = post(app, "x" * 40_001)
    shown = sandbox.driver().message(BACKUPS, ts)
    assert shown is not None
    assert len(shown.text) == 40_000
    assert error_of(lambda: app.client.chat_update(channel=BACKUPS, ts=ts, text="x" * 4001)) == "msg_too_long"
    assert error_of(lambda: app.client.api_call("chat.postMessage", json={"channel": BACKUPS})) == "no_text"


def test_one_message_a_second_and_channel() -> None:
    """The second one is answered 429 with the seconds to wait; another channel is free, and so is this one after them."""
    with Sandbox.start() as limited, pretend_app(limited) as connected:
        post(connected, "one")
        with pytest.raises(SlackApiError) as refused:
            post(connected, "two")
        assert refused.value.response.status_code == 429
        wait_s = int(refused.value.response.headers["Retry-After"])
        assert wait_s == 1
        post(connected, "elsewhere", "C0APPROVALS")
        limited.driver().advance(wait_s)
        post(connected, "two")
        shown = [message.text for message in limited.driver().messages("db-backups")]
        assert shown == ["one", "two"]


def trigger(sandbox: Sandbox, app: PretendApp) -> str:
    """Let somebody type a command, and return what the app may open a form with."""
    sandbox.driver().command("nok", "db-backups", "/pitr")
    return str(app.heard[-1]["trigger_id"])


def test_a_trigger_opens_one_form_within_three_seconds(sandbox: Sandbox, app: PretendApp) -> None:
    """Used twice, too late or made up: each has its own error."""
    view = modal(question("why", "Why", {"type": "plain_text_input"}))
    first = trigger(sandbox, app)
    app.client.views_open(trigger_id=first, view=view)
    assert error_of(lambda: app.client.views_open(trigger_id=first, view=view)) == "trigger_exchanged"
    late = trigger(sandbox, app)
    sandbox.driver().advance(3.5)
    assert error_of(lambda: app.client.views_open(trigger_id=late, view=view)) == "trigger_expired"
    assert error_of(lambda: app.client.views_open(trigger_id="1.2.3", view=view)) == "invalid_trigger_id"


@pytest.mark.parametrize(
    "change", [{"title": plain("x" * 25)}, {"private_metadata": "x" * 3001}, {"callback_id": "x" * 256}], ids=str
)
def test_forms_have_limits_too(sandbox: Sandbox, app: PretendApp, change: Json) -> None:
    """A title, metadata or name that is too long: the form is not opened."""
    view = {**modal(section("x")), **change}
    assert error_of(lambda: app.client.views_open(trigger_id=trigger(sandbox, app), view=view)) == "invalid_arguments"
    assert not sandbox.driver().open_views("nok")


def answer(url: str, text: str) -> int:
    """Answer by a response URL; return the HTTP status."""
    request = urllib.request.Request(
        url, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_response_url_is_good_for_five_answers_in_half_an_hour(sandbox: Sandbox, app: PretendApp) -> None:
    """The sixth is refused, and so is the first after thirty minutes."""
    driver = sandbox.driver()
    driver.command("nok", "db-backups", "/backup")
    url = app.heard[-1]["response_url"]
    assert [answer(url, f"answer {n}") for n in range(5)] == [200] * 5
    assert answer(url, "one more") >= 400
    assert len(driver.ephemerals("nok", "db-backups")) == 5
    driver.command("nok", "db-backups", "/backup")
    driver.advance(30 * 60 + 1)
    assert answer(app.heard[-1]["response_url"], "too late") >= 400


def test_what_only_one_person_sees(sandbox: Sandbox, app: PretendApp) -> None:
    """An ephemeral is seen by its person, by nobody else, and cannot be edited."""
    driver = sandbox.driver()
    ts = str(app.client.chat_postEphemeral(channel=BACKUPS, user=NOK, text="for you")["message_ts"])
    assert [message.text for message in driver.ephemerals("nok", "db-backups")] == ["for you"]
    assert not driver.ephemerals("ploy", "db-backups")
    assert not driver.messages("db-backups")
    assert error_of(lambda: app.client.chat_update(channel=BACKUPS, ts=ts, text="x")) == "message_not_found"


def test_a_scope_that_the_app_lacks_is_named(sandbox: Sandbox, app: PretendApp) -> None:
    """`missing_scope`, with the one that is needed."""
    sandbox.driver().change_app(scopes=["commands"])
    with pytest.raises(SlackApiError) as refused:
        app.client.users_info(user=PLOY)
    assert refused.value.response["error"] == "missing_scope"
    assert refused.value.response["needed"] == "users:read"


def test_people_and_channels_are_what_they_became(sandbox: Sandbox, app: PretendApp) -> None:
    """A guest is told as one, who left as deleted, an archived channel takes nothing, and a wrong token opens nothing."""
    driver = sandbox.driver()
    assert app.client.users_info(user="U0KIT")["user"]["is_restricted"]
    driver.change_person("ploy", deleted=True)
    assert app.client.users_info(user=PLOY)["user"]["deleted"]
    driver.change_channel("db-backups", is_archived=True)
    assert error_of(lambda: post(app, "x")) == "is_archived"
    app.client.token = "xoxb-another"
    assert error_of(app.client.auth_test) == "invalid_auth"


def test_an_app_that_is_silent_for_three_seconds_has_not_acknowledged(sandbox: Sandbox, app: PretendApp) -> None:
    """Whoever typed is told that the app did not answer."""
    spoken = threading.Event()
    app.answers["command"] = lambda _: {} if spoken.wait(60) else None
    try:
        done = sandbox.driver().command("nok", "db-backups", "/backup")
        assert not done.acked
        assert done.message
    finally:
        spoken.set()


@pytest.fixture
def asked(sandbox: Sandbox) -> Callable[..., int]:
    """Ask the workspace something as a browser would; the answer is the HTTP status."""

    def ask(method: str, path: str, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            return connection.getresponse().status
        finally:
            connection.close()

    return ask


def test_only_this_machine_and_only_its_own_page(sandbox: Sandbox, asked: Callable[..., int]) -> None:
    """Bound to the loopback alone; a name that was rebound, another website and a change without the token are turned away."""
    bound = {
        line.split()[1].split(":")[0]
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
        if int(line.split()[1].split(":")[1], 16) == sandbox.port and line.split()[3] == "0A"
    }
    assert bound == {"0100007F"}
    assert asked("GET", "/") == 200
    assert asked("GET", "/", Host="evil.example") == 421
    assert asked("POST", "/api/auth.test", Origin="http://evil.example") == 403
    assert asked("POST", "/control/command") == 403
    assert asked("GET", "/control/state", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors") == 403

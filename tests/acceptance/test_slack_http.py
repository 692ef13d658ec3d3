"""Signed HTTP instead of a socket: the same conversation, and nothing that was not signed by Slack just now, and once."""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bot.model.requests import State
from bot.sandbox.signed_http import signature
from bot.sandbox.values import HOUSE_TEAM
from bot.slack.cards import actions
from tests.acceptance.office import APPROVALS, RESULTS, Office, open_office

pytestmark = pytest.mark.pg

COMMAND = {
    "command": "/backup",
    "text": "now slips",
    "user_id": "U0PLOY",
    "user_name": "ploy",
    "team_id": HOUSE_TEAM,
    "channel_id": "C0BACKUPS",
    "api_app_id": "A0PITSTOP",
    "trigger_id": "forged.1",
    "response_url": "http://127.0.0.1:9/response/nobody",
}


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """An office whose bot listens for signed requests, in a workspace that keeps Slack's rate limits."""
    with open_office(http=True, rate_limits=True) as opened:
        opened.backed_up()
        yield opened


def _post(office: Office, form: Mapping[str, str], *, at: float | None = None, secret: str = "", **headers: str) -> int:
    """Send a command as Slack would, signed with `secret` at `at`, and return the answer's status."""
    body = urllib.parse.urlencode(form)
    timestamp = str(int(time.time() if at is None else at))
    signed = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": signature(secret or office.sandbox.signing_secret, timestamp, body),
    }
    url = f"http://127.0.0.1:{office.http_port}/slack/events"
    request = urllib.request.Request(url, body.encode(), {**signed, **headers})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _recorded(office: Office) -> int:
    with office.ledger.read() as tx:
        return int(tx.execute("SELECT count(*) FROM inbox").fetchone()[0])


FORGED: dict[str, dict[str, Any]] = {
    "a signature made with another secret": {"secret": "0" * 32},
    "no signature": {"X-Slack-Signature": ""},
    "a signature of another version": {"X-Slack-Signature": "v1=00"},
    "a timestamp of six minutes ago": {"at": -360.0},
    "a timestamp of six minutes from now": {"at": 360.0},
    "a timestamp that is no number": {"X-Slack-Request-Timestamp": "yesterday"},
    "no timestamp": {"X-Slack-Request-Timestamp": ""},
}


@pytest.mark.parametrize("how", FORGED)
def test_what_slack_did_not_sign_just_now_is_refused(office: Office, how: str) -> None:
    """It is answered with 401 or 403, and nothing is recorded."""
    before, given = _recorded(office), dict(FORGED[how])
    if "at" in given:
        given["at"] = time.time() + given["at"]
    assert _post(office, COMMAND, **given) in {401, 403}
    assert _recorded(office) == before


def test_a_request_that_was_copied_is_refused_the_second_time(office: Office) -> None:
    """The same signed bytes sent again, within the five minutes they are valid for, are refused and change nothing."""
    now, before = time.time(), _recorded(office)
    form = {**COMMAND, "text": "now orphan", "trigger_id": "copied.1"}
    assert _post(office, form, at=now) == 200
    assert _recorded(office) == before + 1
    assert _post(office, form, at=now) == 403
    assert _recorded(office) == before + 1


@pytest.mark.parametrize("field", ["team_id", "api_app_id"])
def test_a_signed_request_for_somebody_else_is_refused(office: Office, field: str) -> None:
    """Another workspace's or another app's payload is not ours, whoever signed it."""
    before = _recorded(office)
    assert _post(office, {**COMMAND, field: "X0OTHER"}) == 403
    assert _recorded(office) == before


def test_asking_confirming_and_denying_over_http(office: Office) -> None:
    """Commands, clicks, forms and what they answer work as over a socket; Slack delivers the click twice, and it counts once."""
    assert "slips" in office.answer_to("nok", "/backup")
    request, plan = office.propose("nok", "latest", "over HTTP")
    office.driver.fault("duplicate", kind="interactive", copies=2, after=1.1)
    assert office.driver.click("nok", plan, actions.CONFIRM).acked
    card = office.card(request, "approvals", actions.APPROVE)
    assert "You asked for this yourself" in office.press("nok", card, actions.APPROVE)
    assert office.driver.click("somchai", card, actions.DENY).acked
    form = office.see(
        lambda d: next((v for v in d.open_views("somchai") if v.callback_id == actions.DENY_FORM), None), "the form"
    )
    assert office.driver.submit("somchai", form, {"reason": ""}).errors
    assert not office.driver.submit("somchai", form, {"reason": "not today"}).errors
    office.reaches(request, State.DENIED)
    assert office.audited(request).count("request.confirm") == 1
    assert "not today" in office.card(request, "approvals", text="✋").text
    assert office.driver.messages(APPROVALS)
    assert office.driver.messages(RESULTS)


def test_slacks_rate_limits_are_kept(office: Office) -> None:
    """In all of this the bot never posted or edited faster than Slack allows: no call was answered with 429."""
    assert office.driver.calls("chat.postMessage")
    assert office.driver.calls("chat.update")
    assert not [call["args"] for call in office.driver.calls() if call["error"] == "ratelimited"]

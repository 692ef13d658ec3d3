"""Small pure pieces between us and Slack: what payloads say, what figures look like, when a socket is to be left."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError

from bot.errors import Usage
from bot.model.people import Person
from bot.slack import forms, text
from bot.slack.client import direct
from bot.slack.manifest import SCOPES, manifest
from bot.slack.people import person_facts
from bot.slack.socket import _goodbye, _raise_if_final
from handlers.payloads import Doer, delivery_key, from_command, from_interaction, pressed
from tests.unit.desk_world import ALICE, NOON, TEAM
from tests.unit.slack_world import Slack


def test_who_did_it_is_read_from_where_slack_says_it() -> None:
    """In a shared channel the person's own team counts, not the workspace the message is in; the card's place comes along."""
    body = {
        "team": {"id": "T1"},
        "user": {"id": "U9", "team_id": "T2", "name": "olga"},
        "container": {"channel_id": "C1", "message_ts": "1.2"},
        "response_url": "https://hooks.slack.com/x",
    }
    doer = from_interaction(body)
    assert (doer.who, doer.channel, doer.ts) == (Person("T2", "U9"), "C1", "1.2")
    assert Doer.from_json({**doer.as_json(), "more": 1}) == doer
    assert from_interaction({"team": {"id": "T1"}, "user": {"id": "U9"}}).who == Person("T1", "U9")
    assert from_interaction({}).who == Person("", "")
    command = from_command({"team_id": "T1", "user_id": "U9", "channel_id": "C2"})
    assert (command.who, command.channel, command.ts) == (Person("T1", "U9"), "C2", "")


def test_the_same_delivery_has_the_same_key() -> None:
    """A trigger id is the key; without one what was carried is, so that two presses differ and two deliveries do not."""
    assert delivery_key({"trigger_id": "1.2"}) == "trigger:1.2"
    one: dict[str, Any] = {"user": {"id": "U1"}, "actions": [{"action_id": "a", "action_ts": "1"}]}
    assert delivery_key(one) == delivery_key(json.loads(json.dumps(one)))
    later = {**one, "actions": [{"action_id": "a", "action_ts": "2"}]}
    other = {**one, "user": {"id": "U2"}}
    assert len({delivery_key(body) for body in (one, later, other, {"type": "x"})}) == 4
    assert pressed({}) == ("", "")


def test_forms_are_read_by_block() -> None:
    """Text, chosen options and picked times come by their block's name; what was left empty is the empty string."""
    state = {
        "values": {
            "target": {"target": {"type": "plain_text_input", "value": None}},
            "reason": {"reason": {"type": "plain_text_input", "value": "why"}},
            "cluster": {"pitr.cluster": {"type": "external_select", "selected_option": {"value": "slips"}}},
            "at": {"at": {"type": "datetimepicker", "selected_date_time": 1764000000}},
            "odd": {},
            "worse": "text",
        }
    }
    read = forms.filled_in(state)
    assert read == {"target": "", "reason": "why", "cluster": "slips", "at": "1764000000", "odd": ""}
    assert forms.filled_in({}) == {}
    assert [o["value"] for o in forms.cluster_options(["b", "ab", "a"], "A")] == ["a", "ab"]


@pytest.mark.parametrize(
    ("user", "marks"),
    [
        ({"team_id": TEAM}, set()),
        ({"team_id": "T2"}, {"stranger"}),
        ({}, {"stranger"}),
        ({"team_id": TEAM, "is_stranger": True}, {"stranger"}),
        ({"team_id": "E1", "enterprise_user": {"teams": [TEAM]}}, set()),
        ({"team_id": TEAM, "is_restricted": True}, {"guest"}),
        ({"team_id": TEAM, "is_ultra_restricted": True}, {"guest"}),
        ({"team_id": TEAM, "deleted": True}, {"deactivated"}),
        ({"team_id": TEAM, "is_bot": True}, {"is_bot"}),
        (None, {"stranger", "deactivated"}),
    ],
)
def test_what_slack_says_about_a_person(user: dict[str, Any] | None, marks: set[str]) -> None:
    """Each flag that bars somebody is read; somebody Slack does not know, or whose team it does not say, is barred."""
    slack = Slack()
    if user is not None:
        slack.users["UALICE"] = user
    facts = person_facts(slack, ALICE, NOON)
    assert {name for name in ("is_bot", "deactivated", "guest", "stranger") if getattr(facts, name)} == marks


def test_slackbot_is_a_bot_although_slack_denies_it() -> None:
    """`is_bot` is false for Slackbot."""
    slack = Slack()
    slack.users["USLACKBOT"] = {"team_id": TEAM, "is_bot": False}
    assert person_facts(slack, Person(TEAM, "USLACKBOT"), NOON).is_bot


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('{"type": "disconnect", "reason": "warning"}', "warning"),
        ('{"type": "disconnect"}', ""),
        ('{"type": "slash_commands", "payload": {"text": "\\"disconnect\\""}}', None),
        ('["disconnect"]', None),
        ('"disconnect" {', None),
    ],
)
def test_goodbyes_are_told_from_what_people_typed(message: str, reason: str | None) -> None:
    """Only Slack's own frame of the type makes us leave a socket, not a text that holds the word."""
    assert _goodbye(message) == reason


def test_a_wrong_token_ends_the_listener_and_a_busy_slack_does_not() -> None:
    """What asking again cannot mend is a Usage error with a hint; everything else is tried again."""
    slack = Slack()
    for word, final in (
        ("invalid_auth", True),
        ("missing_scope", True),
        ("ratelimited", False),
        ("internal_error", False),
    ):
        error = slack._no({"error": word})
        if final:
            with pytest.raises(Usage, match=word):
                _raise_if_final(error)
        else:
            _raise_if_final(error)
    _raise_if_final(OSError("no route"))
    assert isinstance(error, SlackApiError)


def test_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback, and what NO_PROXY names."""
    monkeypatch.setenv("no_proxy", "inside.test")
    assert all(direct(host) for host in ("localhost", "127.0.0.1", "::1", "inside.test"))
    assert not direct("slack.com")


def test_the_manifest_asks_for_little() -> None:
    """No scope reads what people write; a request URL makes it signed HTTP, in every place Slack wants it."""
    assert not [scope for scope in SCOPES if "history" in scope or scope.endswith(":email") or "public" in scope]
    assert manifest()["settings"]["socket_mode_enabled"] is True
    there = manifest(request_url="https://x.test/slack/events")
    assert there["settings"]["socket_mode_enabled"] is False
    assert {command["url"] for command in there["features"]["slash_commands"]} == {"https://x.test/slack/events"}


@pytest.mark.parametrize(
    ("bytes_", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (3_100_000_000, "3.1 GB"),
        (999_999, "1,000 kB"),
        (2**63, "9,223,372 TB"),
    ],
)
def test_sizes_are_said_in_powers_of_a_thousand(bytes_: int, said: str) -> None:
    """As people and disks count them."""
    assert text.size(bytes_) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0.0 s"),
        (0.44, "0.4 s"),
        (9.99, "10.0 s"),
        (42.4, "42 s"),
        (59.6, "1 min 00 s"),
        (245, "4 min 05 s"),
        (12_000, "3 h 20 min"),
    ],
)
def test_spans_are_said_in_two_units_at_most(seconds: float, said: str) -> None:
    """From tenths of a second to days."""
    assert text.span(seconds) == said


@given(st.floats(0, 1e15), st.floats(0, 1e15))
def test_a_bar_has_twenty_cells(done: float, total: float) -> None:
    """Whatever was done of whatever total, also more than all of it; of nothing there is no bar."""
    drawn = text.bar(done, total)
    if total > 0:
        cells, percent, _ = drawn.split(" ")
        assert len(cells) == 20
        assert 0 <= int(percent) <= 100
        assert (cells == "█" * 20) == (percent == "100")
    else:
        assert drawn == ""


def test_a_moment_is_said_in_two_zones() -> None:
    """Slack shows the reader's own time from the UNIX seconds; UTC stands beside it, with milliseconds where they matter."""
    at = datetime(2026, 11, 22, 3, 12, 7, 412000, tzinfo=timezone(timedelta(hours=7)))
    said = text.moment(at, precise=True)
    assert said.startswith(f"<!date^{int(at.timestamp())}^")
    assert said.endswith("(2026-11-21 20:12:07.412 UTC)")
    assert "412" not in text.moment(at)
    assert text.moment(at.astimezone(UTC)) == text.moment(at)


def test_iso_times_of_an_error_are_shown_as_a_card_shows_times() -> None:
    """A time of an error or a warning is shown in the reader's zone with UTC beside it; what was typed stays in its code span."""
    said = text.moments("2026-11-22T23:59:58.250000+00:00 is in the future; `2026-11-22T23:59:58+00:00` was typed.")
    assert said.startswith("<!date^1795391998^")
    assert "(2026-11-22 23:59:58.250 UTC) is in the future" in said
    assert said.endswith("`2026-11-22T23:59:58+00:00` was typed.")
    assert text.moments("2026-99-99T99:00:00Z") == "2026-99-99T99:00:00Z"

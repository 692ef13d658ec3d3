"""What `pitstop check` says about Slack, asked from the sandbox: token, scopes, channels, groups, people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.server import Sandbox
from bot.slack.manifest import SCOPES, manifest
from tests.commands import Said, Typed
from tests.jobs import install

APPROVERS = ["S0DBAS", "U0SOMCHAI"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A workspace with our app."""
    workspace = Sandbox.start(manifest=manifest(), rate_limits=False)
    yield workspace
    workspace.stop()


@pytest.fixture
def slack(sandbox: Sandbox, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that checks with these approvers, channels and token, and returns what was said and Slack's points."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def check(
        approvers: list[str] = APPROVERS,
        alerts: str = "#db-alerts",
        token: str = sandbox.bot_token,
        app: str = sandbox.app_token,
    ) -> tuple[Said, dict[str, list[tuple[str, str, str]]]]:
        monkeypatch.setenv("SLACK_BOT_TOKEN", token)
        monkeypatch.setenv("SLACK_APP_TOKEN", app)
        here = install(tmp_path / "pitstop", "host=/nowhere")
        with here.config_path.open("a") as file:
            file.write(
                f'[slack]\napi_url = "{sandbox.api_url}"\n'
                f'channels = {{ results = "#db-backups", alerts = "{alerts}", approvals = "#db-approvals" }}\n'
                f'[clusters.slips.approval]\nrequesters = ["everyone"]\napprovers = {approvers}\n'.replace("'", '"')
            )
        said = typed("check", "--json", config=here.config_path)
        points: dict[str, list[tuple[str, str, str]]] = {}
        for point in said.json["points"]:
            if point["about"] == "slack":
                points.setdefault(point["code"], []).append((point["level"], point["sentence"], point["fix"]))
        return said, points

    return check


def test_a_workspace_that_is_ready(slack: Any) -> None:
    """Token, every scope, the channels, the group with its members and the person are fine; no token is in the answer."""
    said, points = slack()
    levels = {level for found in points.values() for level, _, _ in found}
    assert levels == {"ok"}, points
    assert "U0PLOY, U0SOMCHAI" in points["slack-group"][0][1]
    assert len(points["slack-channel"]) == 3
    assert "xoxb-" not in said.out + said.err
    assert "xapp-" not in said.out + said.err


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_that_is_missing_is_named(sandbox: Sandbox, slack: Any, scope: str) -> None:
    """A token without one scope fails the check, by that scope's name, with where to add it."""
    sandbox.driver().change_app(scopes=[one for one in SCOPES if one != scope])
    try:
        said, points = slack()
    finally:
        sandbox.driver().change_app(scopes=list(SCOPES))
    [(level, sentence, fix)] = points["slack-scopes"]
    assert (level, said.code) == ("fail", 1)
    assert scope in sentence
    assert "pitstop manifest" in fix


def test_what_the_configuration_names_and_slack_does_not_know(slack: Any) -> None:
    """An unknown channel, group and person are findings of their own, each with what to do; the rest is checked on."""
    _, points = slack(approvers=["S0NOBODY", "U0NOBODY", "S0DBAS"], alerts="#no-such-channel")
    assert sorted(level for level, _, _ in points["slack-channel"]) == ["fail", "ok", "ok"]
    assert sorted(level for level, _, _ in points["slack-group"]) == ["fail", "ok"]
    [(level, sentence, _)] = points["slack-person"]
    assert level == "fail"
    assert "U0NOBODY" in sentence
    assert all(fix for found in points.values() for level, _, fix in found if level == "fail")


def test_a_wrong_token(slack: Any) -> None:
    """A token Slack does not know is one finding with a hint; it is not repeated."""
    said, points = slack(token="xoxb-not-a-token")
    [(level, _, fix)] = points["slack-token"]
    assert level == "fail"
    assert fix
    assert "not-a-token" not in said.out + said.err


def test_without_an_app_token(slack: Any) -> None:
    """A bot token alone cannot listen: said so, with both ways out."""
    _, points = slack(app="")
    [(level, _, fix)] = points["no-app-token"]
    assert level == "fail"
    assert "SLACK_SIGNING_SECRET" in fix

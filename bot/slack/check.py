"""What `pitstop check` says about Slack: the token and its scopes, the channels, the groups the policies name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from slack_sdk import WebClient

from bot.errors import PitstopError, Usage
from bot.model.people import Person
from bot.slack.client import SlackAnswered
from bot.slack.identity import Channel, Identity, resolve_channels, who_am_i
from bot.slack.manifest import SCOPES
from bot.slack.people import group_facts, person_facts


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `level` is `ok`, `warn` or `fail`; `fix` says what to do about it."""

    level: str
    code: str
    sentence: str
    fix: str = ""


def check_slack(
    client: WebClient, *, channels: Mapping[str, str], groups: Iterable[str], users: Iterable[str], at: datetime
) -> list[Finding]:
    """Ask Slack about everything the configuration relies on; reads only. Problems are findings, not errors."""
    try:
        identity = who_am_i(client)
    except PitstopError as error:
        return [Finding("fail", "slack-token", error.message, error.hint)]
    return [
        Finding("ok", "slack-token", f"The bot token is valid in workspace {identity.team}."),
        *_scopes(identity),
        *_channels(client, channels),
        *(_group(client, group, identity.team, at) for group in sorted(set(groups))),
        *(_user(client, Person(identity.team, user), at) for user in sorted(set(users))),
    ]


def _scopes(identity: Identity) -> list[Finding]:
    missing = [scope for scope in SCOPES if scope not in identity.scopes]
    if not identity.scopes:
        return [
            Finding(
                "warn",
                "slack-scopes",
                "Slack did not say which scopes the token has.",
                "Compare with `pitstop manifest`.",
            )
        ]
    if missing:
        fix = "Add them under OAuth & Permissions and install the app again; `pitstop manifest` prints them all."
        return [Finding("fail", "slack-scopes", f"The bot token lacks {', '.join(missing)}.", fix)]
    return [Finding("ok", "slack-scopes", f"The bot token has every scope it needs: {', '.join(SCOPES)}.")]


def _channels(client: WebClient, wanted: Mapping[str, str]) -> list[Finding]:
    findings = []
    for place, value in wanted.items():
        try:
            found = resolve_channels(client, {place: value})[place]
        except Usage as error:
            findings.append(Finding("fail", "slack-channel", error.message, error.hint))
        except PitstopError as error:
            findings.append(Finding("fail", "slack-channel", f"{place}: {error.message}", error.hint))
        else:
            findings.append(channel_finding(place, found))
    return findings


def channel_finding(place: str, channel: Channel) -> Finding:
    """Say whether a channel can be used for what it is configured for. Pure."""
    name = f"#{channel.name or channel.id} ({place})"
    if channel.archived:
        return Finding("fail", "slack-channel", f"{name} is archived.", "Unarchive it, or name another one.")
    if channel.shared:
        fix = "Name a channel of your own workspace: cards show plans and approvals."
        return Finding("fail", "slack-channel-shared", f"{name} is shared with another organisation.", fix)
    if not channel.member:
        return Finding(
            "fail", "slack-channel", f"Pitstop is not in {name}.", f"Type `/invite @Pitstop` in #{channel.name}."
        )
    return Finding("ok", "slack-channel", f"Pitstop can post to {name}.")


def _group(client: WebClient, group: str, team: str, at: datetime) -> Finding:
    try:
        facts = group_facts(client, group, team, at)
    except SlackAnswered as error:
        fix = error.hint or "Name approvers by user id instead; user groups need a paid plan."
        return Finding("fail", "slack-group", f"Group {group} cannot be read: {error.slack_error}.", fix)
    except PitstopError as error:
        return Finding("fail", "slack-group", f"Group {group} cannot be read: {error.message}", error.hint)
    if not facts.members:
        return Finding("fail", "slack-group", f"Group {group} does not exist or has nobody in it.", "Is the id right?")
    users = sorted(member.user for member in facts.members)
    more = f" and {len(users) - 20} more" if len(users) > 20 else ""
    return Finding("ok", "slack-group", f"Group {group} has {len(users)} members: {', '.join(users[:20])}{more}.")


def _user(client: WebClient, person: Person, at: datetime) -> Finding:
    try:
        facts = person_facts(client, person, at)
    except PitstopError as error:
        return Finding("fail", "slack-person", f"User {person.user} cannot be read: {error.message}", error.hint)
    if facts.deactivated or facts.is_bot or facts.guest or facts.stranger:
        what = (
            "deactivated"
            if facts.deactivated
            else "a bot"
            if facts.is_bot
            else "a guest"
            if facts.guest
            else "of another workspace"
        )
        return Finding(
            "fail", "slack-person", f"{facts.name} ({person.user}) is {what} and cannot decide.", "Name somebody else."
        )
    return Finding("ok", "slack-person", f"{person.user} is {facts.name}.")

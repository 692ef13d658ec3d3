"""Ask, confirm and decide from the command line: the same desk as Slack's, with a login for a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot import desk
from bot.commands.surroundings import Surroundings
from bot.errors import Usage
from bot.ledger import people, requests
from bot.model.commands import parse_target
from bot.model.ids import ClusterName, RequestId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.requests import Request
from bot.model.restores import Wanted
from bot.model.targets import Target


@dataclass(frozen=True)
class Standing:
    """What is known of the person typing at this moment; `slack_away`: Slack could not be asked."""

    facts: PersonFacts | None
    groups: Mapping[str, GroupFacts]
    slack_away: bool


def understood(here: Surroundings, cluster: str, target_text: str) -> Target:
    """Return the target that somebody typed for a cluster.

    Raises:
        Usage: the cluster is unknown or the target cannot be understood; noted in the audit.
    """
    here.cluster(cluster, "ask")
    with here.attempt("ask", cluster):
        return parse_target(target_text, now=here.now(), zone=local_zone())


def ask(
    here: Surroundings, cluster: str, target_text: str, *, directory: Path | None, port: int | None, reason: str
) -> Request:
    """Record a request for a recovery beside; a run plans it.

    Raises:
        Usage: the cluster is unknown or the target cannot be understood; noted in the audit.
        Refused: this login may not ask.
    """
    target = understood(here, cluster, target_text)
    destination = {
        "kind": "beside",
        "directory": str(directory.expanduser().absolute()) if directory else None,
        "port": port,
    }
    return ask_for(here, cluster, "pitr", target, target_text, destination, reason)


def ask_for(
    here: Surroundings,
    cluster: str,
    verb: str,
    target: Target | Wanted,
    text: str,
    destination: dict[str, Any],
    reason: str,
) -> Request:
    """Record a request for `verb`; a run plans it.

    Raises:
        Usage: the cluster is unknown; noted in the audit. Refused: this login may not ask.
    """
    name, config = here.cluster(cluster, "ask")
    standing = slack_says(here, config.policy)
    return desk.ask(
        here.ledger,
        key=here.key("ask"),
        at=here.now(),
        by=here.me,
        name=here.me.user,
        facts=standing.facts,
        groups=standing.groups,
        people=here.config.people,
        slack_away=standing.slack_away,
        policy=config.policy,
        verb=verb,
        cluster=name,
        target=target,
        target_text=text,
        destination=destination,
        reason=reason,
        entropy=here.entropy(),
    )


def confirm(here: Surroundings, request: Request, reason: str) -> Request:
    """Send a proposed plan with a reason, which is asked for on a terminal when it is missing."""
    said = reason or request.reason or _ask_reason()
    return desk.confirm(here.ledger, request_id=request.id, reason=said, **decider(here, request.cluster, "confirm"))


def approve(here: Surroundings, request_id: RequestId, typed: str = "") -> Request:
    """Approve as the login typing; `[people]` must name it, and the requester is somebody else. `typed`: the cluster's name."""
    cluster = find(here, request_id).cluster
    return desk.approve(here.ledger, request_id=request_id, typed=typed, **decider(here, cluster, "approve"))


def deny(here: Surroundings, request_id: RequestId, reason: str) -> Request:
    """Deny, with a reason."""
    cluster = find(here, request_id).cluster
    return desk.deny(here.ledger, request_id=request_id, reason=reason, **decider(here, cluster, "deny"))


def cancel(here: Surroundings, request_id: RequestId, reason: str) -> Request:
    """Stop a request that has not ended, also while it runs."""
    cluster = find(here, request_id).cluster
    return desk.cancel(here.ledger, request_id=request_id, reason=reason, **decider(here, cluster, "cancel"))


def find(here: Surroundings, request_id: str) -> Request:
    """Return a request.

    Raises:
        Usage: there is none of that id; noted in the audit.
    """
    with here.attempt("find-request", request_id), here.ledger.read() as tx:
        return requests.get(tx, RequestId(request_id))


def slack_says(here: Surroundings, policy: Policy) -> Standing:
    """Ask Slack about the person behind this login and the policy's groups, where a token is at hand.

    Without `[people]` entry or token nothing is asked: the login then counts as itself, and only approvers named by id count.
    """
    slack = here.config.slack
    user, token = here.config.slack_identity(here.me), slack.bot_token if slack else None
    with here.ledger.read() as tx:
        team = people.team(tx)
    if slack is None or user is None or token is None or team is None:
        return Standing(None, {}, slack_away=True)
    from bot.slack.client import web_client
    from bot.slack.people import refresh

    who = Person(team, user)
    groups = [entry for entry in (*policy.requesters, *policy.approvers) if entry.startswith("S")]
    client = web_client(token, api_url=slack.api_url)
    fetched = refresh(client, here.ledger, people=[who], groups=groups, team=team, at=here.now())
    return Standing(fetched.people.get(who), fetched.groups, slack_away=fetched.away)


def local_zone() -> tzinfo:
    """Return this machine's time zone by name, so that past and future clock changes are known; UTC when it has none."""
    names = [os.environ.get("TZ", "").lstrip(":"), _linked_zone()]
    for name in names:
        if name:
            try:
                return ZoneInfo(name)
            except (KeyError, ValueError, OSError):
                continue
    return UTC


def _linked_zone() -> str:
    try:
        return str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    except OSError:
        return ""


def decider(here: Surroundings, cluster: ClusterName, verb: str) -> dict[str, Any]:
    """Return what every verb of the desk wants to know about who speaks, as keyword arguments."""
    config = here.config.cluster(cluster)
    standing = slack_says(here, config.policy)
    return {
        "key": here.key(verb),
        "by": here.me,
        "name": here.me.user,
        "facts": standing.facts,
        "groups": standing.groups,
        "people": here.config.people,
        "slack_away": standing.slack_away,
        "at": here.now(),
        "policy": config.policy,
    }


def can_ask_reason() -> bool:
    """Say whether somebody sits at a terminal who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agreed(question: str) -> bool:
    """Ask on a terminal; where nobody sits at one, nothing is asked and the command line itself is the answer."""
    if not can_ask_reason():
        return True
    import typer

    return bool(typer.confirm(question, default=False, err=True))


def _ask_reason() -> str:
    if not can_ask_reason():
        raise Usage("A reason is needed.", hint="Add --reason 'why this is done'.", code="no-reason")
    import typer

    return str(typer.prompt("Reason", err=True))

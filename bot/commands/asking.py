"""Ask, confirm and decide from the command line: the same desk as Slack's, with a login for a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta, tzinfo
from pathlib import Path
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

from bot import desk
from bot.commands.surroundings import Surroundings
from bot.config import parse_duration
from bot.errors import Usage
from bot.ledger import Tx, people, requests
from bot.model.callers import Caller
from bot.model.commands import parse_target
from bot.model.ids import ClusterName, RequestId
from bot.model.people import Person, Policy
from bot.model.policy import group_ids
from bot.model.requests import Request
from bot.model.restores import Wanted
from bot.model.targets import Target
from bot.model.typed import quoted

R = TypeVar("R")


class OfCluster(Protocol):
    """A row that is about one cluster."""

    @property
    def cluster(self) -> ClusterName:
        """Which one."""


C = TypeVar("C", bound=OfCluster)


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
    name, _ = here.cluster(cluster, "ask")
    return desk.ask(
        here.ledger,
        caller_on(here, name, "ask"),
        verb=verb,
        cluster=name,
        target=target,
        target_text=text,
        destination=destination,
        reason=reason,
    )


def confirm(here: Surroundings, request: Request, reason: str) -> Request:
    """Send a proposed plan with a reason, which is asked for on a terminal when it is missing."""
    said = reason or request.reason or _ask_reason()
    return desk.confirm(here.ledger, caller_on(here, request.cluster, "confirm"), request.id, reason=said)


def approve(here: Surroundings, request_id: RequestId, typed: str = "") -> Request:
    """Approve as the login typing; `[people]` must name it, and the requester is somebody else. `typed`: the cluster's name."""
    caller = caller_on(here, find(here, request_id).cluster, "approve")
    return desk.approve(here.ledger, caller, request_id, typed=typed)


def deny(here: Surroundings, request_id: RequestId, reason: str) -> Request:
    """Deny, with a reason."""
    caller = caller_on(here, find(here, request_id).cluster, "deny")
    return desk.deny(here.ledger, caller, request_id, reason=reason)


def cancel(here: Surroundings, request_id: RequestId, reason: str) -> Request:
    """Stop a request that has not ended, also while it runs."""
    caller = caller_on(here, find(here, request_id).cluster, "cancel")
    return desk.cancel(here.ledger, caller, request_id, reason=reason)


def find(here: Surroundings, request_id: str) -> Request:
    """Return a request.

    Raises:
        Usage: there is none of that id; noted in the audit.
    """
    return looked_up(here, requests.get, request_id, "find-request")


def about(here: Surroundings, get: Callable[[Tx, Any], C], row_id: str, verb: str) -> tuple[C, Caller]:
    """Return what a command is about, with who speaks of it. Raises like `looked_up`."""
    row = looked_up(here, get, row_id, verb)
    return row, caller_on(here, row.cluster, verb)


def looked_up(here: Surroundings, get: Callable[[Tx, Any], R], row_id: str, verb: str) -> R:
    """Return a row of the ledger by its id.

    Raises:
        Usage: there is none; noted in the audit.
    """
    with here.attempt(verb, row_id), here.ledger.read() as tx:
        return get(tx, row_id)


def duration(typed: str, example: str) -> timedelta:
    """Return how long somebody means by `7d` or `12h`.

    Raises:
        Usage: it is no duration; `example` is offered.
    """
    try:
        found = parse_duration(typed)
    except ValueError as error:
        raise Usage(f"{quoted(typed)} is no duration: {error}.", hint=example, code="bad-duration") from None
    assert isinstance(found, timedelta)
    return found


def caller_on(here: Surroundings, cluster: ClusterName, verb: str) -> Caller:
    """Return who speaks of a cluster, as the verbs of the desk want to know it."""
    return caller_of(here, here.config.cluster(cluster).policy, verb)


def caller_of(here: Surroundings, policy: Policy, verb: str) -> Caller:
    """Return who speaks, with what Slack says now of the person behind this login and of the policy's groups.

    Without `[people]` entry or token nothing is asked: the login then counts as itself, and only approvers named by id count.
    """
    caller = Caller(
        by=here.me,
        policy=policy,
        key=here.key(verb),
        at=here.now(),
        entropy=here.entropy(),
        name=here.me.user,
        logins=here.config.people,
        slack_away=True,
    )
    slack = here.config.slack
    user, token = here.config.slack_identity(here.me), slack.bot_token if slack else None
    with here.ledger.read() as tx:
        team = people.team(tx)
    if slack is None or user is None or token is None or team is None:
        return caller
    from bot.slack.client import web_client
    from bot.slack.people import refresh

    who, client = Person(team, user), web_client(token, api_url=slack.api_url)
    fetched = refresh(client, here.ledger, people=[who], groups=group_ids(policy), team=team, at=caller.at)
    return replace(caller, at=here.now(), facts=fetched.people.get(who), groups=fetched.groups, slack_away=fetched.away)


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

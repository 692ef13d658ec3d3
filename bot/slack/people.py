"""People and groups: what Slack says about them now, kept in the ledger with the time it was asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from slack_sdk import WebClient

from bot.ledger import Ledger
from bot.ledger import people as kept
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.policy import group_ids
from bot.model.requests import Request
from bot.slack.client import SlackAnswered, SlackBusy, call

_GONE = {"user_not_found", "users_not_found", "user_not_visible"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What Slack just said; what is missing is unknown: Slack could not be asked (`away`), or said no (`refused`).

    `silent` says that it did not answer, rather than asking us to wait: only then do the rules for a Slack that is away hold.
    """

    people: Mapping[Person, PersonFacts] = field(default_factory=dict)
    groups: Mapping[str, GroupFacts] = field(default_factory=dict)
    away: bool = False
    refused: tuple[SlackAnswered, ...] = ()
    silent: bool = False


def refresh(
    client: WebClient, ledger: Ledger, *, people: Iterable[Person], groups: Iterable[str], team: str, at: datetime
) -> Fetched:
    """Ask Slack about people and groups and keep the answers; fails closed: what was not answered is not kept.

    `team` is the workspace the groups belong to; `at` is aware UTC, from before the call. Slack being away is a result.
    """
    fetched = fetch(client, people=people, groups=groups, team=team, at=at)
    with ledger.transaction() as tx:
        for facts in fetched.people.values():
            kept.put(tx, facts)
        for group in fetched.groups.values():
            kept.put_group(tx, group)
    return fetched


def refresh_for_request(
    client: WebClient, ledger: Ledger, *, request: Request, policy: Policy, at: datetime
) -> Fetched:
    """Refresh everybody an approval stands on: the requester, those who decided, and the groups of the policy.

    The leader calls it just before it spawns an executor; `desk.claim` then finds facts younger than its bound.
    """
    humans = {request.requester, *(decision.by for decision in request.decisions)}
    slack = {person for person in humans if not person.on_host}
    with ledger.read() as tx:
        team = kept.team(tx)
    home = team or next((person.team for person in slack), "")
    fetched = refresh(client, ledger, people=slack, groups=group_ids(policy), team=home, at=at)
    with ledger.transaction() as tx:
        kept.set_slack_away(tx, fetched.silent)
    return fetched


def fetch(client: WebClient, *, people: Iterable[Person], groups: Iterable[str], team: str, at: datetime) -> Fetched:
    """Ask Slack (`users.info`, `usergroups.users.list`), keeping nothing."""
    found: dict[Person, PersonFacts] = {}
    members: dict[str, GroupFacts] = {}
    away, silent, refused = False, False, []
    for person in sorted(set(people)):
        try:
            found[person] = person_facts(client, person, at)
        except SlackBusy as busy:
            away, silent = True, silent or not busy.limited
        except SlackAnswered as error:
            refused.append(error)
    for group in sorted(set(groups)):
        try:
            members[group] = group_facts(client, group, team, at)
        except SlackBusy as busy:
            away, silent = True, silent or not busy.limited
        except SlackAnswered as error:
            refused.append(error)
    return Fetched(found, members, away, tuple(refused), silent)


def person_facts(client: WebClient, person: Person, at: datetime) -> PersonFacts:
    """Return what Slack says about one person; somebody it does not know counts as deactivated.

    Source: https://docs.slack.dev/reference/objects/user-object
    """
    try:
        user: Any = call(client, "users.info", http_verb="GET", user=person.user)["user"]
    except SlackAnswered as error:
        if error.slack_error not in _GONE:
            raise
        return PersonFacts(person, person.user, "UTC", at, deactivated=True, stranger=True)
    profile = user.get("profile") or {}
    return PersonFacts(
        person=person,
        name=profile.get("real_name") or user.get("real_name") or user.get("name") or person.user,
        timezone=user.get("tz") or "UTC",
        fetched_at=at,
        is_bot=bool(user.get("is_bot")) or person.user == "USLACKBOT",
        deactivated=bool(user.get("deleted")),
        guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
        stranger=bool(user.get("is_stranger")) or _elsewhere(user, person),
    )


def _elsewhere(user: Any, person: Person) -> bool:
    """Say whether an account belongs to another workspace; in an enterprise one account serves several teams."""
    teams = {user.get("team_id"), *((user.get("enterprise_user") or {}).get("teams") or [])}
    return person.team not in teams


def group_facts(client: WebClient, group: str, team: str, at: datetime) -> GroupFacts:
    """Return who is in a user group now; one that does not exist or is disabled has nobody.

    Source: https://docs.slack.dev/reference/methods/usergroups.users.list
    """
    try:
        users: Any = call(client, "usergroups.users.list", http_verb="GET", usergroup=group)["users"]
    except SlackAnswered as error:
        if error.slack_error not in {"no_such_subteam", "subteam_not_found"}:
            raise
        users = []
    return GroupFacts(group, frozenset(Person(team, user) for user in users), at)

"""People and groups as facts with the time they were fetched, and what is known about Slack itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bot.ledger import settings
from bot.ledger.database import Tx, iso, parse_iso
from bot.model.people import GroupFacts, Person, PersonFacts


def put(tx: Tx, facts: PersonFacts) -> None:
    """Keep what Slack said about a person; an older answer never replaces a newer one."""
    body = {
        "name": facts.name,
        "timezone": facts.timezone,
        "is_bot": facts.is_bot,
        "deactivated": facts.deactivated,
        "guest": facts.guest,
        "stranger": facts.stranger,
    }
    tx.execute(
        "INSERT INTO people (person, facts, fetched_at) VALUES (?, ?, ?) ON CONFLICT (person) DO UPDATE"
        " SET facts = excluded.facts, fetched_at = excluded.fetched_at WHERE excluded.fetched_at >= people.fetched_at",
        [facts.person.key, json.dumps(body, ensure_ascii=False), iso(facts.fetched_at)],
    )


def get(tx: Tx, person: Person) -> PersonFacts | None:
    """Return what is known about a person, however old, or None."""
    row = next(tx.query("SELECT * FROM people WHERE person = ?", [person.key]), None)
    return _facts(row) if row else None


def put_group(tx: Tx, group: GroupFacts) -> None:
    """Keep a group's members; an older answer never replaces a newer one."""
    tx.execute(
        "INSERT INTO people_groups (grp, members, fetched_at) VALUES (?, ?, ?) ON CONFLICT (grp) DO UPDATE"
        " SET members = excluded.members, fetched_at = excluded.fetched_at"
        " WHERE excluded.fetched_at >= people_groups.fetched_at",
        [group.group, json.dumps(sorted(member.key for member in group.members)), iso(group.fetched_at)],
    )


def groups(tx: Tx, names: Iterable[str]) -> dict[str, GroupFacts]:
    """Return what is known about the groups of these ids, however old; unknown ones are left out."""
    found = {}
    for name in names:
        row = next(tx.query("SELECT * FROM people_groups WHERE grp = ?", [name]), None)
        if row is not None:
            found[name] = _group(row)
    return found


def set_team(tx: Tx, team: str) -> None:
    """Remember which workspace is ours (`auth.test`'s team id): people of any other are refused from then on."""
    settings.put(tx, "slack-team", team)


def team(tx: Tx) -> str | None:
    """Return our workspace's team id, or None before the bot was ever connected."""
    return settings.get(tx, "slack-team")


def set_slack_away(tx: Tx, away: bool) -> None:
    """Note whether Slack can be asked about people; while it is away only approvers named by user id count."""
    settings.put(tx, "slack-away", "yes" if away else "no")


def slack_away(tx: Tx) -> bool:
    """Say what the leader last noted; never noted means that Slack is there, which is the stricter reading."""
    return settings.get(tx, "slack-away") == "yes"


def _facts(row: dict[str, Any]) -> PersonFacts:
    fetched_at = parse_iso(row["fetched_at"])
    assert fetched_at is not None
    return PersonFacts(person=Person.from_key(row["person"]), fetched_at=fetched_at, **json.loads(row["facts"]))


def _group(row: dict[str, Any]) -> GroupFacts:
    fetched_at = parse_iso(row["fetched_at"])
    assert fetched_at is not None
    members = frozenset(Person.from_key(key) for key in json.loads(row["members"]))
    return GroupFacts(group=row["grp"], members=members, fetched_at=fetched_at)

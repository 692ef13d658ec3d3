"""Who speaks to the desk: one value made at the edge, in Slack or on the command line, and passed to a verb as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.model.people import GroupFacts, Person, PersonFacts, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A person who calls one verb once, with everything their right is decided from.

    `key` makes a call that is repeated answer the same; `at` is aware UTC; ids are made of `entropy`, at least 7 random bytes.
    `facts` and `groups` are what Slack just said, `logins` the configuration's `[people]` table (login → Slack user id);
    with `slack_away` Slack could not be asked. `token` is the one-use token of the form that was sent, if one was.
    """

    by: Person
    policy: Policy
    key: str
    at: datetime
    entropy: bytes
    name: str = ""
    facts: PersonFacts | None = None
    groups: Mapping[str, GroupFacts] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict)
    slack_away: bool = False
    token: str | None = None

    @property
    def called(self) -> str:
        """What the person is called in sentences."""
        return self.name or (self.facts.name if self.facts else "") or self.by.user

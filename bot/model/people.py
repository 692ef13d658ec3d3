"""Who asks and who approves: people as (team, user), and what is known about them with the time it was fetched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

HOST_TEAM = "host"


@dataclass(frozen=True, slots=True, order=True)
class Person:
    """One human: a Slack team id and user id, or `("host", login name)` for somebody on the command line."""

    team: str
    user: str

    @property
    def key(self) -> str:
        """The person as one string, for the ledger: `T0123/U0456`."""
        return f"{self.team}/{self.user}"

    @classmethod
    def from_key(cls, key: str) -> Person:
        """Read what `key` wrote."""
        team, _, user = key.partition("/")
        return cls(team, user)

    @property
    def on_host(self) -> bool:
        """Whether this is a login on the machine rather than a Slack account."""
        return self.team == HOST_TEAM


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """What Slack says about a person; `fetched_at` is aware UTC. Refusals fail closed on anything unknown."""

    person: Person
    name: str
    timezone: str
    fetched_at: datetime
    is_bot: bool = False
    deactivated: bool = False
    guest: bool = False
    stranger: bool = False


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The members of a Slack user group at `fetched_at` (aware UTC)."""

    group: str
    members: frozenset[Person]
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may ask and who may approve for one cluster. Entries are `everyone`, user ids (`U…`, `W…`) or group ids (`S…`).

    An empty `requesters` or `approvers` means nobody. `version` is a digest of the rest and changes with it.
    `expires_s` and `claim_s` are seconds: how long a request waits for approval, and for the executor.
    `quorum` approvers are needed; `cli_beside_quorum` for a restore beside that was asked for on the host.
    """

    requesters: tuple[str, ...]
    approvers: tuple[str, ...]
    quorum: int
    expires_s: int
    claim_s: int
    version: str
    cli_beside_quorum: int = 0

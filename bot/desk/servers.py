"""Servers started beside: registered by the executor, extended, stopped and removed by people or by the end of their lifetime."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.desk.asking import NO_GROUPS, NO_PEOPLE
from bot.ledger.database import Ledger
from bot.model.ids import RequestId
from bot.model.people import GroupFacts, Person, PersonFacts, Policy
from bot.model.runs import Run
from bot.model.servers import Server


def register_server(
    ledger: Ledger, *, request_id: RequestId, dsn: str, size_bytes: int, detail: dict[str, Any], at: datetime
) -> Server:
    """Record a started server (directory, owner and lifetime come from the request's plan). Idempotent: registering again updates it."""
    raise NotImplementedError


def extend_server(
    ledger: Ledger,
    *,
    key: str,
    server_id: RequestId,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    extension: timedelta,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
) -> Server:
    """Let a running server live `extension` longer, from its present end."""
    raise NotImplementedError


def stop_server(
    ledger: Ledger,
    *,
    key: str,
    server_id: RequestId,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    entropy: bytes,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
) -> Run:
    """Queue the run that stops a server; its data stays."""
    raise NotImplementedError


def remove_server(
    ledger: Ledger,
    *,
    key: str,
    server_id: RequestId,
    by: Person,
    facts: PersonFacts | None,
    at: datetime,
    policy: Policy,
    entropy: bytes,
    name: str = "",
    groups: Mapping[str, GroupFacts] = NO_GROUPS,
    people: Mapping[str, str] = NO_PEOPLE,
    slack_away: bool = False,
) -> Run:
    """Queue the run that stops a server and removes its data."""
    raise NotImplementedError


def server_stopped(ledger: Ledger, server_id: RequestId, at: datetime) -> Server:
    """Say that a server no longer runs. Idempotent."""
    raise NotImplementedError


def server_removed(ledger: Ledger, server_id: RequestId, at: datetime) -> Server:
    """Say that a server's data is gone. Idempotent."""
    raise NotImplementedError


def sweep_servers(ledger: Ledger, at: datetime, entropy: bytes) -> list[Run]:
    """Queue a stop for every running server whose lifetime is over; return the runs. Idempotent."""
    raise NotImplementedError

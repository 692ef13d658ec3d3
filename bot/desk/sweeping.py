"""What time does to requests: they expire, and approvers are woken."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.ledger.database import Ledger
from bot.model.ids import ClusterName
from bot.model.people import Policy
from bot.model.requests import Request


def sweep(ledger: Ledger, at: datetime) -> list[Request]:
    """Expire every request whose time is up (also those that lapsed while nobody ran); return them. Idempotent."""
    raise NotImplementedError


def wake_due(
    ledger: Ledger, at: datetime, after: timedelta, policies: Mapping[ClusterName, Policy] | None = None
) -> list[Request]:
    """Wake the approvers of each request PENDING for `after` with no decision, once; return those requests.

    Cards wanted: kind `wake`, subject the request's id, at `thread:request:<id>` (the second mention) and, for each approver the
    policy names or a known group holds (never the requester), at `dm:<user>`. They are bumped when the request changes.
    """
    raise NotImplementedError

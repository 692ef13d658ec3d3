"""Databases kept after a swap: what had the name before, closed to sessions, and when it is removed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bot.errors import Conflict
from bot.model.ids import ClusterName, RequestId
from bot.model.people import Person

ANNOUNCED_BEFORE = timedelta(days=1)


class KeptState(StrEnum):
    """Where a kept database stands; `back` means that an undo gave it its name again."""

    KEPT = "kept"
    BACK = "back"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept database as the ledger has it; `id` is the request that replaced it. Times are aware UTC.

    It was called `database` and is called `name` now; `oid` is the server's number for it, which no other database ever gets.
    `current_oid` is the database that has the name since. `size_bytes` is its disk. `announced_at`: when its removal was said.
    """

    id: RequestId
    cluster: ClusterName
    database: str
    name: str
    oid: int
    current_oid: int
    state: KeptState
    version: int
    owner: Person
    size_bytes: int
    kept_at: datetime
    remove_at: datetime
    announced_at: datetime | None = None


def extend(kept: Kept, extension: timedelta, at: datetime) -> Kept:
    """Keep it `extension` longer, from the present end; it is announced anew.

    Raises:
        Conflict: it is not kept any more.
    """
    require_kept(kept)
    remove_at = max(kept.remove_at, at) + extension
    return replace(kept, version=kept.version + 1, remove_at=remove_at, announced_at=None)


def announce(kept: Kept, at: datetime) -> Kept:
    """Say that it will be removed: not sooner than a day from now, also when nobody ran for a week."""
    remove_at = max(kept.remove_at, at + ANNOUNCED_BEFORE)
    return replace(kept, version=kept.version + 1, announced_at=at, remove_at=remove_at)


def reach(kept: Kept, state: KeptState) -> Kept:
    """Say that it has its name back, or is gone."""
    return kept if kept.state is state else replace(kept, state=state, version=kept.version + 1)


def require_kept(kept: Kept) -> None:
    """Raise Conflict where it is not kept any more."""
    if kept.state is KeptState.BACK:
        raise Conflict(f"{kept.database} is in service again; it is not kept.", code="kept-back")
    if kept.state is KeptState.REMOVED:
        raise Conflict(f"{kept.name} was removed before.", code="kept-removed")

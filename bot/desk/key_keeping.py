"""What a rotation of the data keys did and proved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bot.ledger import audit, data_keys
from bot.ledger.database import Ledger
from bot.model.people import Person


def begin_rotation(ledger: Ledger, *, repository: str, key: str, at: datetime) -> None:
    """Note the data key that a rotation is about to store, so that the next one can tell it from any other: see `interrupted`."""
    with ledger.transaction() as tx:
        data_keys.begin(tx, repository, key, at)


def note_rotation(
    ledger: Ledger,
    *,
    repository: str,
    keys: Iterable[tuple[str, datetime]],
    detail: Mapping[str, Any],
    holds: bool,
    by: Person,
    at: datetime,
) -> None:
    """Keep what a rotation that came to its end did, and since when everything in the repository is proved to open.

    What it did stands in the audit too.
    """
    keys = list(keys)
    with ledger.transaction() as tx:
        data_keys.replace(tx, repository, keys)
        if holds:
            data_keys.proved(tx, repository, [key for key, _ in keys], at)
        data_keys.end(tx, repository)
        audit.append(tx, at, by.key, "keys.rotate", repository, dict(detail))

"""The ledger's copy of each cluster's runbook, and what it was made from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.ledger.database import Tx, iso, parse_iso
from bot.model.ids import ClusterName


@dataclass(frozen=True, slots=True)
class Kept:
    """A runbook (Markdown), when it was written, and what of the newest base backup it was made from (JSON)."""

    body: str
    at: datetime
    base: dict[str, Any] | None


def put(tx: Tx, cluster: ClusterName, kept: Kept) -> None:
    """Keep the newest runbook."""
    tx.execute(
        "INSERT OR REPLACE INTO runbooks (cluster, body, at, base) VALUES (?, ?, ?, ?)",
        [cluster, kept.body, iso(kept.at), json.dumps(kept.base, ensure_ascii=False)],
    )


def find(tx: Tx, cluster: ClusterName) -> Kept | None:
    """Return the newest runbook, or None."""
    row = next(tx.query("SELECT * FROM runbooks WHERE cluster = ?", [cluster]), None)
    if row is None:
        return None
    at = parse_iso(row["at"])
    assert at is not None
    return Kept(row["body"], at, json.loads(row["base"]))

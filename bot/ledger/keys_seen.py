"""Idempotency keys: each verb call leaves its key and what it answered, so that a repetition answers the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.ledger.database import Tx, iso


@dataclass(frozen=True, slots=True)
class Seen:
    """A verb call of the past: what it was about, and the error it raised, if any."""

    subject: str
    answer: dict[str, Any]


def find(tx: Tx, verb: str, key: str) -> Seen | None:
    """Return what the call of `verb` under `key` answered, or None when there was none."""
    sql = "SELECT subject, answer FROM keys_seen WHERE key = ?"
    row = tx.execute(sql, [f"{verb}:{key}"]).fetchone()
    return None if row is None else Seen(row[0], json.loads(row[1]))


def put(tx: Tx, verb: str, key: str, subject: str, answer: dict[str, Any], at: datetime) -> None:
    """Keep a call's answer."""
    tx.execute(
        "INSERT INTO keys_seen (key, verb, subject, at, answer) VALUES (?, ?, ?, ?, ?)",
        [f"{verb}:{key}", verb, subject, iso(at), json.dumps(answer, ensure_ascii=False)],
    )


def forget(tx: Tx, before: datetime) -> int:
    """Drop the answers of calls made before a time; return how many."""
    return int(tx.execute("DELETE FROM keys_seen WHERE at < ?", [iso(before)]).rowcount)

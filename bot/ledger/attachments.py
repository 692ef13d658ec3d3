"""Files that wait to be shared in Slack; their bytes are dropped once they were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.ledger.database import Tx, iso


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that belongs to a run: its name and title, what it shows in words, and its bytes (None once it was shared)."""

    run: str
    name: str
    title: str
    alt: str
    content: bytes | None


def put(tx: Tx, attachment: Attachment, at: datetime) -> None:
    """Keep a file until it is shared; one of the same run takes its place."""
    tx.execute(
        "INSERT OR REPLACE INTO attachments (run, name, title, alt, content, at) VALUES (?, ?, ?, ?, ?, ?)",
        [attachment.run, attachment.name, attachment.title, attachment.alt, attachment.content, iso(at)],
    )


def find(tx: Tx, run: str) -> Attachment | None:
    """Return the file of a run, or None."""
    row = next(tx.query("SELECT run, name, title, alt, content FROM attachments WHERE run = ?", [run]), None)
    return Attachment(**row) if row else None


def shared(tx: Tx, run: str) -> None:
    """Drop the bytes of a file that was shared."""
    tx.execute("UPDATE attachments SET content = NULL WHERE run = ?", [run])

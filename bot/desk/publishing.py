"""Keep a file that a run made until the sender has shared it."""

from __future__ import annotations

from datetime import datetime

from bot.ledger import attachments
from bot.ledger.database import Ledger
from bot.model.ids import RunId


def attach(ledger: Ledger, run_id: RunId, *, name: str, title: str, alt: str, content: bytes, at: datetime) -> None:
    """Keep a file of a run; when the run ends well it is shared in the thread of its card. Not audited."""
    with ledger.transaction() as tx:
        attachments.put(tx, attachments.Attachment(run_id, name, title, alt, content), at)

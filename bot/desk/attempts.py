"""Note what was tried and refused before any verb was reached: an unknown cluster, a time nobody could read."""

from __future__ import annotations

from datetime import datetime

from bot.desk.change import Call, note_refusal
from bot.errors import PitstopError
from bot.ledger.database import Ledger


def note_attempt(ledger: Ledger, at: datetime, actor: str, action: str, subject: str, error: PitstopError) -> None:
    """Audit a refused attempt. Verbs of the desk audit their own refusals; this is for what parsing refused."""
    with ledger.transaction() as tx:
        note_refusal(tx, Call(action, "", subject, actor, at), error)

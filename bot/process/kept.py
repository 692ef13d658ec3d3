"""Kept databases: announced a day before they are removed, then removed."""

from __future__ import annotations

import structlog

from bot import desk
from bot.errors import Conflict
from bot.process.place import Place

log = structlog.get_logger("pitstop.supervisor")


def keep_databases(place: Place) -> None:
    """Announce and queue what is due; where a restore or an undo uses the database, a later round tries again."""
    try:
        for run in desk.sweep_kept(place.ledger, place.now(), place.entropy(8)):
            log.info("removal of a kept database queued", request=run.request, run=run.id)
    except Conflict as error:
        log.info("removal of a kept database waits", reason=error.message)

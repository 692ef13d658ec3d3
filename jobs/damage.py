"""Write beside a backup that its copy in one repository is damaged, so that another one is used from now on."""

from __future__ import annotations

from datetime import datetime

from bot.errors import Unavailable
from bot.model.ids import BackupId
from bot.repository.cluster import ClusterRepository
from bot.repository.events import COPY_DAMAGED


def note_damage(history: ClusterRepository, backup: BackupId, message: str, at: datetime) -> bool:
    """Mark the copy of a backup in one repository as damaged, once; return whether it is marked now.

    A repository that cannot be written to, or is away, is left as it is: what is damaged is told all the same.
    """
    try:
        summary = history.find(backup)
        if summary is not None and summary.damaged is None:
            history.record_event(backup, COPY_DAMAGED, at=at, text=message)
    except Unavailable:
        return False
    return summary is not None

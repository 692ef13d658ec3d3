"""Write beside a backup that it is pinned, or not any more, in every repository that holds it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from bot.errors import PitstopError, Unavailable, Usage
from bot.model.ids import BackupId, SystemId
from bot.repository import events, layout
from bot.repository.cluster import ClusterRepository
from bot.repository.open import open_repository
from bot.repository.releasing import ages, released, take_back
from jobs.catalogue import renew_reachable
from jobs.context import JobContext


def run(context: JobContext) -> dict[str, Any]:
    """Pin the run's `backup`, or unpin it where its argument `pinned` is false. Idempotent.

    Returns {"backup", "pinned", "repositories", "away"}: all that hold it, changed now or before, and why others could not be
    asked; a sync takes the word to them, the newest wins.

    Raises:
        Usage: `unknown-backup`, no repository holds it.
        Unavailable: none holds it but one that is away, perhaps.
    """
    backup, pinned = BackupId(context.run.args["backup"]), bool(context.run.args["pinned"])
    context.phase("pin" if pinned else "unpin")
    holding: list[str] = []
    away: dict[str, PitstopError] = {}
    for name, settings in context.config.cluster_repositories(context.run.cluster).items():
        try:
            opened = open_repository(name, settings, context.config.encryption)
            histories = [opened.cluster(context.run.cluster, SystemId(s)) for s in opened.systems(context.run.cluster)]
            found = [_set(context, history, backup, pinned=pinned) for history in histories]
        except (Unavailable, Usage) as error:
            away[name] = error
            continue
        holding += [name] if any(found) else []
    if away and not holding:
        raise next(iter(away.values()))
    if not holding:
        raise Usage(
            f"No repository of {context.run.cluster} holds {backup}.",
            hint=f"`pitstop list {context.run.cluster}` shows what there is.",
            code="unknown-backup",
        )
    renew_reachable(context.config, context.ledger, context.run.cluster)
    told = {name: error.message for name, error in away.items()}
    return {"backup": backup, "pinned": pinned, "repositories": holding, "away": told}


def _set(context: JobContext, history: ClusterRepository, backup: BackupId, *, pinned: bool) -> bool:
    """Write the event where it changes anything; return whether the backup is here."""
    summary = history.find(backup)
    if summary is None:
        return False
    if pinned and ages(history) and backup in released(history):
        take_back(history, backup, at=context.now(), reason="it is pinned")
    if summary.pinned != pinned:
        kind = "pinned" if pinned else "unpinned"
        who = str(context.run.args.get("name", ""))
        history.record_event(
            backup, kind, at=_after_all(context.now(), history, backup), text=f"by {who}" if who else ""
        )
    return True


def _after_all(now: datetime, history: ClusterRepository, backup: BackupId) -> datetime:
    """Return now, or a moment after the last event where a clock was set back since: the later event decides."""
    known = events.read(history.repository, layout.backup(history.name, history.system_id, backup))
    return max([now, *(event.at + timedelta(microseconds=1) for event in known)])

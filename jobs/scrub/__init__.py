"""Scrub: read a part of everything stored again, what was read longest ago first, and say what is damaged or missing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.errors import Corruption, PitstopError, Refused, Unavailable, Usage
from bot.ledger import scrubbed, wal_status
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.scrub import Stored, coverage_age, due
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.examine import Damage, Part
from bot.repository.keys.lost import KeyGone
from bot.repository.layout import KEYS, key_folder
from bot.repository.open import open_repository
from bot.repository.repository import Repository
from jobs.catalogue import renew_catalogue
from jobs.context import JobContext
from jobs.scrub.read import Looked, Reader, list_parts
from jobs.scrub.wal import missing_segments

__all__ = ["run"]


def run(context: JobContext) -> dict[str, Any]:
    """Scrub the run's cluster within the day's budget; with `all` among the arguments, read everything. Damage is a result.

    Each manifest, and the presence and size of every object, is looked at every time. Goes on where a killed run was.

    Returns {"cluster", "ok", "news", "objects", "bytes", "damaged": [{"repository", "path", "backup", "chunk", "piece",
    "message"}], "coverage_age_s", "stored_objects", "stored_bytes", "budget_bytes", "repositories", "problems", "seconds"}.

    Raises:
        Unavailable: no repository can be reached; nothing is said of any object.
    """
    began = time.monotonic()
    found: list[dict[str, Any]] = []
    away: list[Unavailable | Usage] = []
    for name, settings in context.config.cluster_repositories(context.run.cluster).items():
        context.phase(f"read {name}")
        try:
            opened = open_repository(name, settings, context.config.encryption)
            found.append(_repository(context, opened))
        except Corruption as error:
            found.append(_unopened(name, error))
        except (Unavailable, Usage) as error:
            away.append(error)
    if away and not found:
        raise away[0]
    problems = [error.message for error in away] + [
        f"{one['repository']}: {one['problem']}" for one in found if one["problem"]
    ]
    damaged = [damage for one in found for damage in one["damaged"]]
    if damaged:
        _renew(context)
    return {
        "cluster": context.run.cluster,
        "ok": not damaged and not problems,
        "news": bool(damaged or problems),
        "objects": sum(one["objects"] for one in found),
        "bytes": sum(one["bytes"] for one in found),
        "damaged": damaged,
        "coverage_age_s": max((one["coverage_age_s"] for one in found), default=0.0),
        "stored_objects": sum(one["stored_objects"] for one in found),
        "stored_bytes": sum(one["stored_bytes"] for one in found),
        "budget_bytes": None if context.run.args.get("all") else sum(one["budget_bytes"] for one in found),
        "repositories": [{k: v for k, v in one.items() if k != "damaged"} for one in found],
        "problems": problems,
        "seconds": round(time.monotonic() - began, 3),
    }


def _repository(context: JobContext, opened: Repository) -> dict[str, Any]:
    """Read one repository's share; what stops it halfway is its `problem`."""
    cluster = context.run.cluster
    histories, broken = _histories(opened, cluster)
    lost = {history.system_id: _missing_wal(context, history) for history in histories}
    listed = {history.system_id: list_parts(context, history) for history in histories}
    stored = {path: one for _, known in listed.values() for path, one in known.items()}
    total = sum(one.size for one in stored.values())
    budget = None if context.run.args.get("all") else context.config.cluster(cluster).scrub.daily.of(total)
    left = None if budget is None else budget - _spent_today(context, opened.name, cluster)
    chosen = {one.path for one in due(stored.values(), left)}
    looked, problem = Looked(stored=stored), ""
    damaged: list[dict[str, Any]] = []
    for history in histories:
        try:
            _read(context, history, listed[history.system_id], chosen, looked)
            damaged += _still_missing(context, history, lost[history.system_id])
        except Unavailable as error:
            problem = error.message
            break
    problem = " ".join(filter(None, (problem, *looked.lost.values())))
    damaged = broken + [_damage(opened.name, damage, backup) for damage, backup in looked.damage] + damaged
    return {
        "repository": opened.name,
        "objects": looked.objects,
        "bytes": looked.size,
        "damaged": damaged,
        "coverage_age_s": round(coverage_age(looked.stored.values(), context.now()).total_seconds(), 3),
        "stored_objects": len(stored),
        "stored_bytes": total,
        "budget_bytes": budget or 0,
        "problem": problem,
    }


def _histories(opened: Repository, cluster: ClusterName) -> tuple[list[ClusterRepository], list[dict[str, Any]]]:
    """Open every history of a cluster; one whose identity cannot be trusted is damage, and the others are still read."""
    histories: list[ClusterRepository] = []
    broken: list[dict[str, Any]] = []
    for system in opened.systems(cluster):
        try:
            histories.append(opened.cluster(cluster, SystemId(system)))
        except KeyGone as error:
            gone = f"{key_folder(error.key_id)}/1" if error.seals else layout.identity(cluster, SystemId(system))
            broken.append(_damage(opened.name, Damage(gone, None, None, error.message), None))
        except (Corruption, Refused) as error:
            # It may be the data key that is damaged, and not what it opens.
            own = layout.identity(cluster, SystemId(system))
            path = error.path if isinstance(error, ObjectDamaged | ObjectMissing) else own
            broken.append(_damage(opened.name, Damage(path, None, None, error.message), None))
    return histories, broken


def _unopened(name: str, error: Corruption) -> dict[str, Any]:
    """Return what is said of a repository whose data key is damaged, so that nothing in it can be read."""
    path = error.path if isinstance(error, ObjectDamaged | ObjectMissing) else KEYS
    counts = dict.fromkeys(("objects", "bytes", "stored_objects", "stored_bytes", "budget_bytes"), 0)
    damaged = [_damage(name, Damage(path, None, None, error.message), None)]
    return {"repository": name, **counts, "damaged": damaged, "coverage_age_s": 0.0, "problem": ""}


def _read(
    context: JobContext,
    history: ClusterRepository,
    listed: tuple[Mapping[str, Part], Mapping[str, Stored]],
    chosen: set[str],
    looked: Looked,
) -> None:
    parts, stored = listed
    ordered = due((stored[path] for path in chosen & set(stored)), None)
    chosen -= set(stored)  # the data keys are listed with each history, and read with the first
    Reader(context, history, looked).read((one, parts[one.path]) for one in ordered)


def _spent_today(context: JobContext, repository: str, cluster: ClusterName) -> int:
    """Return the bytes read since midnight where the cluster is, so that several runs share one day's budget."""
    zone = ZoneInfo(context.config.cluster(cluster).timezone)
    midnight = context.now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    with context.ledger.read() as tx:
        known = scrubbed.known(tx, repository)
    mine = (f"{cluster}/", f"{KEYS}/")
    return sum(c.size for c in known.values() if c.path.startswith(mine) and midnight <= c.at <= context.now())


def _missing_wal(context: JobContext, history: ClusterRepository) -> dict[str, str]:
    before: datetime = context.now() - context.config.cluster(context.run.cluster).retention.wal
    with context.ledger.read() as tx:
        statuses = [s for s in wal_status.list(tx, context.run.cluster) if s.system_id == history.system_id]
    live = max(statuses, key=lambda status: status.at).timeline if statuses else None
    return missing_segments(history, history.backups(), live, before)


def _still_missing(context: JobContext, history: ClusterRepository, before: dict[str, str]) -> list[dict[str, Any]]:
    """Return segments that were missing at the beginning and are missing still: those being shipped have arrived meanwhile."""
    if not before:
        return []
    context.wait_cancelled(_ARRIVES_WITHIN_S)
    now = _missing_wal(context, history)
    name = history.repository.name
    return [
        {"repository": name, "path": path, "backup": None, "chunk": None, "piece": None, "message": now[path]}
        for path in sorted(before)
        if path in now
    ]


def _damage(repository: str, damage: Damage, backup: BackupId | None) -> dict[str, Any]:
    return {
        "repository": repository,
        "path": damage.path,
        "backup": backup,
        "chunk": damage.chunk,
        "piece": damage.piece,
        "message": damage.message,
    }


def _renew(context: JobContext) -> None:
    try:
        renew_catalogue(context.config, context.ledger, context.run.cluster)
    except PitstopError as error:
        context.note(f"The list of backups is late: {error.message}")


_ARRIVES_WITHIN_S = 3.0

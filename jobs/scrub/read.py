"""Read stored objects again, remember each look, and write beside a backup that a part of it is damaged."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.errors import Unavailable
from bot.ledger import scrubbed
from bot.ledger.scrubbed import Check
from bot.model.ids import BackupId
from bot.model.scrub import Stored
from bot.repository import events, layout
from bot.repository.cluster import ClusterRepository
from bot.repository.examine import Damage, Part, examine_object, parts
from bot.repository.keys.lost import KeyLost
from jobs.context import JobContext

_NOTE_EVERY_S = 2.0
_NOTE_AT_MOST = 64
_PUBLISHED_WITHIN = timedelta(hours=1)
"""A summary is written just before its manifest; only after this time is a missing one taken for lost."""


@dataclass
class Looked:
    """What was read of one history: how many objects and bytes, and what was wrong, with the backup it belongs to.

    `lost` are data keys that do not open now, with what is said of each: what they seal could not be read.
    """

    objects: int = 0
    size: int = 0
    damage: list[tuple[Damage, BackupId | None]] = field(default_factory=list)
    stored: dict[str, Stored] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)


class Reader:
    """Reads objects of one history; what was seen is in the ledger within seconds, so that a killed run goes on from there."""

    def __init__(self, context: JobContext, history: ClusterRepository, looked: Looked) -> None:
        self._context, self._history, self._looked = context, history, looked
        self._repository = history.repository.name
        self._pending: list[Check] = []
        self._noted_at = time.monotonic()

    def read(self, due: Iterable[tuple[Stored, Part]]) -> None:
        """Read objects in order. Damage is a result; one that retention removed meanwhile is none.

        Raises:
            Unavailable: the repository is away; nothing is said about what was not read.
            Cancelled: the run was asked to stop.
        """
        try:
            for one, part in due:
                self._context.check_cancelled()
                self._one(one, part)
        finally:
            self._note()

    def _one(self, one: Stored, part: Part) -> None:
        try:
            found = examine_object(self._history, part)
        except KeyLost as error:  # no damage: with its key it may open again
            self._looked.lost[error.key_id] = error.message
            return
        if found and self._gone(part):
            self._looked.stored.pop(one.path, None)
            return
        now = self._context.now()
        self._looked.objects += 1
        self._looked.size += one.size
        for damage in found:
            if damage.path == part.path or not any(damage == known for known, _ in self._looked.damage):
                self._looked.damage.append((damage, part.backup if damage.path == part.path else None))
        self._looked.stored[one.path] = replace(one, known_at=now, damaged=bool(found))
        for damage in found:
            mark_damaged(self._history, part, damage, now)
        self._pending.append(Check(one.path, one.size, now, found[0].message if found else ""))
        self._context.progress(self._looked.size)
        if len(self._pending) >= _NOTE_AT_MOST or time.monotonic() - self._noted_at > _NOTE_EVERY_S:
            self._note()

    def _gone(self, part: Part) -> bool:
        """Say whether what seemed damaged is simply not there any more, with the backup or the WAL it belonged to."""
        store = self._history.repository.store
        if part.backup is not None:
            folder = layout.backup(self._history.name, self._history.system_id, part.backup)
            if part.lost:  # written meanwhile, or cleared away with all the rest
                return store.exists(part.path) or not store.exists(layout.summary(folder))
            return not store.exists(layout.manifest(folder))
        return not store.exists(part.path)

    def _note(self) -> None:
        self._noted_at = time.monotonic()
        if not self._pending:
            return
        try:
            with self._context.ledger.transaction() as tx:
                scrubbed.note(tx, self._repository, self._pending)
        except Unavailable as error:
            self._context.note(f"What was read is not remembered: {error.message}")
        self._pending = []


def mark_damaged(history: ClusterRepository, part: Part, damage: Damage, at: datetime) -> None:
    """Write beside the backup that its copy here is damaged, once, where a restore cannot do without the object.

    A damaged wrapped data key is not written against the backups it opens: brought back from a copy, it opens them again.
    """
    if part.backup is None or not part.vital or damage.path != part.path:
        return
    summary = history.find(part.backup)
    if summary is not None and summary.damaged is None:
        history.record_event(part.backup, events.COPY_DAMAGED, at=at, text=damage.message)


def list_parts(context: JobContext, history: ClusterRepository) -> tuple[dict[str, Part], dict[str, Stored]]:
    """List everything kept of one history, and since when each object is known to be right; forget what is not there any more."""
    finished = context.now() - _PUBLISHED_WITHIN
    listed = (part for part in parts(history) if not part.lost or part.modified < finished)
    # What lies in an archive cannot be read, and asking for it costs money; that it is there, and how large, was looked at.
    found = {part.path: part for part in listed if not part.archived or part.suspect}
    name = history.repository.name
    with context.ledger.read() as tx:
        known = scrubbed.known(tx, name)
    prefix = layout.system(history.name, history.system_id) + "/"
    gone = [path for path in known if path.startswith(prefix) and path not in found]
    if gone:
        with context.ledger.transaction() as tx:
            scrubbed.forget(tx, name, gone)
    return found, {path: _stored(part, known.get(path)) for path, part in found.items()}


def _stored(part: Part, check: Check | None) -> Stored:
    """Return an object with its last look; one that is missing or was written since counts as never looked at."""
    if check is None or check.at < part.modified:
        return Stored(part.path, part.size, part.modified, damaged=part.suspect)
    return Stored(part.path, part.size, check.at, damaged=bool(check.damage) or part.suspect)

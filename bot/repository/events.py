"""What happened to a backup after it was written: small objects, appended, never changed; folded into its summary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from bot.errors import Conflict
from bot.model.backups import BackupSummary
from bot.repository import layout
from bot.repository.damage import ObjectDamaged
from bot.repository.keys.lost import KeyUnopened
from bot.repository.stores import ObjectInfo

if TYPE_CHECKING:
    from bot.repository.repository import Repository

COPY_DAMAGED = "copy-damaged"
"""A copy is damaged here; `damaged` says that the backup is, wherever it lies, because the server was."""
KINDS = frozenset(
    {
        "verified",
        "damaged",
        COPY_DAMAGED,
        "pinned",
        "unpinned",
        "report",
        "expired",
        "orphaned",
        "released",
        "taken-back",
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `kind` of `KINDS`, `at` aware UTC, `text` for people (the reason of `damaged` and `copy-damaged`)."""

    kind: str
    at: datetime
    text: str


def record(repository: Repository, folder: str, kind: str, *, at: datetime, text: str = "") -> None:
    """Append an event to the backup in `folder`; the same one again changes nothing.

    Raises:
        ValueError: `kind` is not one of `KINDS`.
        Conflict: `event-differs`, another text was recorded at the same microsecond.
    """
    if kind not in KINDS:
        raise ValueError(f"not an event's kind: {kind!r}")
    path = layout.event(folder, at, kind)
    try:
        repository.put_json(path, {"kind": kind, "at": at.isoformat(), "text": text})
    except Conflict:
        if read_event(repository, path) != Event(kind, at, text):
            raise Conflict(f"Another event is recorded as {path}.", code="event-differs") from None


def read(repository: Repository, folder: str) -> list[Event]:
    """Return the events of the backup in `folder`, in the order of their time.

    An event that is damaged itself, or whose data key does not open, is returned as a `copy-damaged` event that names it: it may
    have said just that.
    """
    found = []
    for info in repository.store.list(f"{folder}/events"):
        try:
            found.append(read_event(repository, info.path))
        except (ObjectDamaged, KeyUnopened) as error:
            found.append(unread(info, error))
    return sorted(found, key=lambda event: event.at)


def unread(info: ObjectInfo, error: ObjectDamaged | KeyUnopened) -> Event:
    """Return what stands for an event that cannot be read. Pure."""
    why = error.message if isinstance(error, ObjectDamaged) else f"{info.path} cannot be read: {error.short}"
    return Event(COPY_DAMAGED, info.modified, why)


def fold(summary: BackupSummary, events: Iterable[Event]) -> BackupSummary:
    """Return the summary with what `events`, in order, say. Once damaged, a backup stays so. Pure."""
    for event in events:
        if event.kind == "verified":
            summary = replace(summary, verified_at=event.at)
        elif event.kind in {"damaged", COPY_DAMAGED}:
            summary = replace(summary, damaged=summary.damaged or event.text or "marked as damaged")
        elif event.kind in {"pinned", "unpinned"}:
            summary = replace(summary, pinned=event.kind == "pinned")
    return summary


def read_event(repository: Repository, path: str) -> Event:
    """Return one event.

    Raises:
        ObjectMissing, ObjectDamaged.
    """
    return parsed(repository.read_body(path), path)


def parsed(content: bytes, path: str) -> Event:
    """Return the event that lies at `path`. Pure.

    Raises:
        ObjectDamaged: it is none.
    """
    try:
        fields = json.loads(content)
        return Event(fields["kind"], datetime.fromisoformat(fields["at"]), fields["text"])
    except (ValueError, KeyError, TypeError):
        raise ObjectDamaged(path, "it cannot be read as an event") from None

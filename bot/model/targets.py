"""Recovery targets: what a person named, and the (timeline, LSN) it was resolved to before anyone is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.model.ids import BackupId
from bot.model.wal import Lsn


class TargetKind(StrEnum):
    """How a target was named."""

    TIME = "time"
    XID = "xid"
    POINT = "point"
    LSN = "lsn"
    LATEST = "latest"
    IMMEDIATE = "immediate"


@dataclass(frozen=True, slots=True)
class Target:
    """A target as asked for, before the WAL was read.

    A time, xid or restore point is included, as in PostgreSQL; with `before` it is not. An LSN means everything before it.
    Exactly the field that `kind` names is set: `at` (aware UTC), `xid` (epoch-less 32-bit, as in WAL), `point`, `lsn`; for
    `immediate`, the end of a base backup, `backup` (None: of the newest).
    `read_as` says in words how a time was understood, for the person to see.
    """

    kind: TargetKind
    before: bool = False
    at: datetime | None = None
    xid: int | None = None
    point: str | None = None
    lsn: Lsn | None = None
    read_as: str = ""
    backup: BackupId | None = None

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "kind": self.kind.value,
            "before": self.before,
            "at": self.at.isoformat() if self.at else None,
            "xid": self.xid,
            "point": self.point,
            "lsn": str(self.lsn) if self.lsn is not None else None,
            "read_as": self.read_as,
            "backup": self.backup,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Target:
        """Read what `as_json` wrote."""
        return cls(
            kind=TargetKind(data["kind"]),
            before=data["before"],
            at=datetime.fromisoformat(data["at"]) if data["at"] else None,
            xid=data["xid"],
            point=data["point"],
            lsn=Lsn.parse(data["lsn"]) if data["lsn"] else None,
            read_as=data["read_as"],
            backup=BackupId(data["backup"]) if data.get("backup") else None,
        )


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction's end as WAL records it: `lsn` is the record's start, `end` the first byte after it, `at` aware UTC."""

    xid: int
    lsn: Lsn
    end: Lsn
    at: datetime
    aborted: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "xid": self.xid,
            "lsn": str(self.lsn),
            "end": str(self.end),
            "at": self.at.isoformat(),
            "aborted": self.aborted,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Commit:
        """Read what `as_json` wrote."""
        return cls(
            data["xid"],
            Lsn.parse(data["lsn"]),
            Lsn.parse(data["end"]),
            datetime.fromisoformat(data["at"]),
            data["aborted"],
        )


@dataclass(frozen=True, slots=True)
class ResolvedTarget:
    """Where replay stops: everything before `lsn` on `timeline` is replayed, nothing from it on.

    `record_exists` is False when no record starts at `lsn` yet (`latest`): then the WAL served ends there.
    `last_commit` is the last commit replayed, `next_end` the first commit or abort left out; None when there is none.
    """

    timeline: int
    lsn: Lsn
    record_exists: bool
    last_commit: Commit | None = None
    next_end: Commit | None = None

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "timeline": self.timeline,
            "lsn": str(self.lsn),
            "record_exists": self.record_exists,
            "last_commit": self.last_commit.as_json() if self.last_commit else None,
            "next_end": self.next_end.as_json() if self.next_end else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ResolvedTarget:
        """Read what `as_json` wrote."""
        return cls(
            data["timeline"],
            Lsn.parse(data["lsn"]),
            data["record_exists"],
            Commit.from_json(data["last_commit"]) if data["last_commit"] else None,
            Commit.from_json(data["next_end"]) if data["next_end"] else None,
        )

"""What is known about a backup without reading it: the summary that lists are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.model.dumps import CHOSEN_DATABASES, IMPORTED
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.wal import Lsn


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """One line of `pitstop list`; times are aware UTC, sizes bytes.

    `damaged` is the reason a backup is not sound (None when it is); `manifest_sha256` binds plans to its content.
    For a dump the LSNs and timeline are those at its snapshot; `partial` says what it holds where that is not everything
    (`bot.model.dumps.partial_of`), and then it never stands for the last dump.
    """

    id: BackupId
    kind: str
    cluster: ClusterName
    system_id: SystemId
    started_at: datetime
    finished_at: datetime
    timeline: int
    start_lsn: Lsn
    end_lsn: Lsn
    bytes_read: int
    bytes_stored: int
    server_version: int
    segment_bytes: int
    manifest_sha256: str
    parent: BackupId | None = None
    verified_at: datetime | None = None
    damaged: str | None = None
    pinned: bool = False
    partial: str = ""

    @property
    def whole_databases(self) -> bool:
        """Whether each database in it is known to be there with everything."""
        return self.partial in {"", CHOSEN_DATABASES}

    @property
    def known_part(self) -> str:
        """What it is a part of everything by, where that is known: of what was imported it is not."""
        return "" if self.partial == IMPORTED else self.partial

    @property
    def seconds(self) -> float:
        """How long it took, from its start until everything that belongs to it was stored; the manifest comes after that."""
        return (self.finished_at - self.started_at).total_seconds()

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only: ISO times, `X/X` LSNs."""
        data: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for key in ("started_at", "finished_at", "verified_at"):
            data[key] = data[key].isoformat() if data[key] else None
        data["start_lsn"], data["end_lsn"] = str(self.start_lsn), str(self.end_lsn)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BackupSummary:
        """Read what `as_json` wrote; unknown keys are ignored, so that older readers survive newer writers."""
        known = {key: data[key] for key in cls.__dataclass_fields__ if key in data}
        for key in ("started_at", "finished_at", "verified_at"):
            if known.get(key):
                known[key] = datetime.fromisoformat(known[key])
        known["start_lsn"], known["end_lsn"] = Lsn.parse(data["start_lsn"]), Lsn.parse(data["end_lsn"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Seen:
    """A summary with what it was read from, so that it is not read again while that is the same.

    `stamp` says what the backup's records looked like in a listing (empty: not to be remembered), `keys` are the ids of the
    data keys that they are sealed with.
    """

    summary: BackupSummary
    stamp: str
    keys: tuple[str, ...]

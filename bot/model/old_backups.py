"""Backups that scripts made before Pitstop: what tells their files, and what is known of one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

SUFFIXES = (".backup.gz.enc", ".backup.enc", ".backup.gz", ".backup")


@dataclass(frozen=True, slots=True)
class OldBackup:
    """A file as it lies: its size and when it was changed; `imported` is the dump it became, if it did.

    `verified_at` is when a drill last proved the file itself, as far as the ledger goes back.
    """

    path: Path
    bytes: int
    changed_at: datetime
    imported: str | None = None
    verified_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return {"file", "bytes", "changed_at", "imported", "verified_at"}."""
        return {
            "file": self.path.name,
            "bytes": self.bytes,
            "changed_at": self.changed_at.isoformat(),
            "imported": self.imported,
            "verified_at": self.verified_at.isoformat() if self.verified_at else None,
        }


def names_old_backup(word: str) -> bool:
    """Say whether what was typed for a backup is the name (or the path) of such a file; an id of ours never is."""
    return word.endswith(SUFFIXES)

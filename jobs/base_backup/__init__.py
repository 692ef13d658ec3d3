"""Take one base backup into a repository."""

from __future__ import annotations

from jobs.base_backup.take import run

__all__ = ["run"]

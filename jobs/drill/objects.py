"""The objects of a backup: its manifest, and whatever else of it no restore reads."""

from __future__ import annotations

from bot.errors import Corruption
from bot.model.backups import BackupSummary
from bot.repository import layout
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.manifest import Manifest
from jobs.drill.work import Drill


def read_manifest(drill: Drill, backup: BackupSummary) -> Manifest:
    """Read a backup's manifest; it must be the one its summary speaks of, and nothing may be known against it.

    Raises:
        Corruption: `manifest-differs`, `known-damaged`, or it is damaged itself.
    """
    manifest = drill.repository(backup).manifest(backup.id)
    if manifest.sha256 != backup.manifest_sha256:
        raise Corruption(
            f"The manifest of {backup.id} is not the one its summary was made for.",
            hint=f"Is the repository sound? `pitstop list {backup.cluster}` shows other backups.",
            code="manifest-differs",
        )
    return manifest


def is_of(error: Corruption, backup: BackupSummary) -> bool:
    """Say whether `error` names an object of the backup itself, and not of the WAL."""
    return isinstance(error, ObjectDamaged | ObjectMissing) and layout.backup_of(error.path) == backup.id

"""Names of backups that scripts made before Pitstop. Pure."""

from __future__ import annotations

SUFFIXES = (".backup.gz.enc", ".backup.enc", ".backup.gz", ".backup")


def names_old_backup(word: str) -> bool:
    """Say whether what was typed for a backup is the name (or the path) of such a file; an id of ours never is."""
    return word.endswith(SUFFIXES)

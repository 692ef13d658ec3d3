"""Backups that scripts made before Pitstop: listed as they lie, tried by a drill, and imported into a repository as dumps."""

from jobs.old_backups.bring import imported, run
from jobs.old_backups.files import OldBackup, old_backups_of

__all__ = ["OldBackup", "imported", "old_backups_of", "run"]

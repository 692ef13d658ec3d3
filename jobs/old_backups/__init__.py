"""Backups that scripts made before Pitstop: listed as they lie, tried by a drill, and imported into a repository as dumps."""

"""The spool as jobs see it."""

from __future__ import annotations

from pathlib import Path


class Spool:
    """One cluster's spool folder: `<config.spool>/<cluster>`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

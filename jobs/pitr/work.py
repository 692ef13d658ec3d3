"""One recovery under way: its run, its claimed request, and what it is made from."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bot.postgres.isolated_folder import ServerFolder
from jobs.claimed import Claimed
from jobs.pitr.stock import Stock, open_stock


@dataclass(frozen=True)
class Work(Claimed):
    """What every phase gets. `began` is `time.monotonic()` at the claim; `opened` is the stock where the claim opened it."""

    opened: Stock | None = None
    began: float = field(default_factory=time.monotonic)

    @cached_property
    def stock(self) -> Stock:
        """What it is made from."""
        return self.opened or open_stock(self.config, self.steps)

    @property
    def directory(self) -> Path:
        """Where the server goes."""
        return Path(self.steps.beside.directory)

    def owns_directory(self) -> bool:
        """Say whether the directory carries the marker that this very request put there."""
        folder = ServerFolder(self.directory)
        return folder.is_ours() and folder.state().get("request") == self.request.id

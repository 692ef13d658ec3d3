"""Measure the recovery window: what the repository holds, with the times its WAL reaches to."""

from __future__ import annotations

from bot.config import Config
from bot.ledger.database import Ledger
from bot.model.ids import ClusterName
from bot.model.window import TimeRange


def measured_window(config: Config, ledger: Ledger | None, cluster: ClusterName) -> list[TimeRange]:
    """Return the ranges of time `cluster` can be recovered to, from its repositories and spool. Reads a few segments.

    Raises:
        Unavailable: a repository or the spool cannot be read.
    """
    raise NotImplementedError

"""How far each repository of a cluster is behind the others, as the ledger's copy of the catalogue says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.config import Config
from bot.ledger import Tx, catalogue
from bot.model.copies import Lag, lags
from bot.model.ids import ClusterName


def behind(config: Config, tx: Tx, cluster: ClusterName, now: datetime) -> list[Lag]:
    """Return the lag of each repository, in the configuration's order; nothing where there is only one."""
    names = list(config.cluster_repositories(cluster))
    if len(names) < 2:
        return []
    held = {name: catalogue.list(tx, cluster, name) for name in names}
    return lags(held, config.cluster(cluster).retention.keeping, now)


def lag_row(lag: Lag, now: datetime) -> dict[str, Any]:
    """Return a lag as JSON; `seconds` is how long it has been behind."""
    return {
        "repository": lag.repository,
        "backups": len(lag.backups),
        "bytes": lag.bytes_stored,
        "since": lag.since.isoformat() if lag.since else None,
        "seconds": round(lag.age(now).total_seconds()),
    }

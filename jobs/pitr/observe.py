"""Look again, just before the claim, at everything the plan stands on."""

from __future__ import annotations

from pathlib import Path

from bot.config import Config
from bot.errors import Corruption, Unavailable, Usage
from bot.host.files import free_bytes
from bot.model.plans import Observed, Plan, Steps
from bot.model.wal import Lsn
from bot.postgres.binaries import find
from jobs.pitr.stock import Stock
from jobs.plan.place import is_free, port_is_free

DAMAGED = "damaged"
"""Stands for the hash of a manifest that is there and cannot be trusted."""


def observe(config: Config, plan: Plan, stock: Stock) -> Observed:
    """Return what is true now of the plan's chain, WAL, disk, directory, port, policy and programs. Reads manifests only.

    Raises:
        Unavailable: the repository cannot be read now; nothing is known then.
    """
    steps = plan.steps
    directory = Path(steps.destination.directory)
    manifests, start = _manifests(steps, stock)
    return Observed(
        manifests=manifests,
        wal_complete=start is not None and stock.has_wal(start, _end(steps)),
        disk_free=free_bytes(directory),
        directory_empty=_is_free(directory),
        port_free=_port_is_free(steps.destination.port),
        policy_version=config.cluster(steps.cluster).policy.version,
        server_version=_server_version(config, plan.facts.server_version // 10000),
    )


def _manifests(steps: Steps, stock: Stock) -> tuple[dict[str, str], Lsn | None]:
    """Return the hash of each manifest of the chain that is there, and where the WAL of the last one begins."""
    found: dict[str, str] = {}
    start = None
    for link in steps.chain:
        try:
            manifest = stock.repository.manifest(link.backup)
        except Usage:
            continue
        except Corruption:
            found[link.backup] = DAMAGED
            continue
        found[link.backup] = manifest.sha256
        start = manifest.start_lsn
    return found, start


def _end(steps: Steps) -> Lsn:
    """Return up to where WAL is needed: to see that replay must stop before a record, its beginning has to be there."""
    return Lsn(steps.target.lsn + 1) if steps.target.record_exists else steps.target.lsn


def _is_free(directory: Path) -> bool:
    try:
        return is_free(directory)
    except Usage:
        return False


def _port_is_free(port: int | None) -> bool:
    try:
        return port_is_free(port)
    except Usage:
        return False


def _server_version(config: Config, major: int) -> int:
    """Return the version installed here of this major, or 0."""
    try:
        return find(major, extra=config.postgres.bin_directories).version_num
    except Unavailable:
        return 0

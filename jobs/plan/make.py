"""Make a plan: steps that an approval is bound to, and the facts it stands on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bot.config import Config
from bot.ledger.database import Ledger
from bot.model.ids import ClusterName
from bot.model.plans import Plan
from bot.model.targets import Target


def make_plan(
    config: Config,
    ledger: Ledger | None,
    *,
    cluster: ClusterName,
    target: Target,
    target_text: str,
    destination: Mapping[str, Any],
    name: str,
    now: datetime,
    on_note: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Resolve `target`, look at repository and host, and return what would be done. Writes nothing but a scratch folder.

    `destination` is what was asked for: {"kind": "beside", "directory": path or None, "port": number or None}; without a
    directory it becomes `<restore.directory>/<name>` (`name`: the request's id, or any word for a dry run). `ledger` gives
    the live timeline and past durations where there is one. Slow: reads the WAL between backup and target.

    Raises:
        Unreachable: the target cannot be had; `nearest` says which times can.
        Usage, Refused: the directory is not empty, the port is in use, binaries are missing, the disk is too small.
        Unavailable: repository or spool cannot be read.
    """
    raise NotImplementedError

"""Which backups are being written now: each says so in the ledger while its run lives, so that nobody clears it away."""

from __future__ import annotations

from bot import desk
from bot.errors import Unavailable
from bot.ledger import Ledger, locks
from bot.model.ids import BackupId, ClusterName
from bot.model.locks import Lock, Mode
from jobs.context import JobContext


def announce(context: JobContext, backup: BackupId) -> None:
    """Say that this run writes `backup`, until it ends however it ends."""
    try:
        desk.hold(context.ledger, context.run.id, [Lock(f"chain:{context.run.cluster}/{backup}", Mode.WRITE)])
    except Unavailable as error:
        # A ledger that is away stops no backup; what is written to is not cleared away for hours anyway.
        context.note(f"The ledger could not be told: {error.message}")


def being_written(ledger: Ledger, cluster: ClusterName) -> frozenset[BackupId]:
    """Return the backups that unfinished runs write; none while the ledger cannot be read."""
    prefix = f"chain:{cluster}/"
    try:
        with ledger.read() as tx:
            held = locks.held(tx)
    except Unavailable:
        return frozenset()
    names = [one.lock.name for one in held if one.lock.mode is Mode.WRITE and one.lock.name.startswith(prefix)]
    return frozenset(BackupId(name.removeprefix(prefix)) for name in names)

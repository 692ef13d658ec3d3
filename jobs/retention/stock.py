"""What there is to decide about: the backups and WAL of one system identifier in one repository, and who needs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.desk.locking import planning
from bot.ledger import Ledger, leases, locks, wal_status
from bot.ledger.leases import Lease
from bot.ledger.wal_status import WalStatus
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId, ClusterName, RunId, SystemId
from bot.model.locks import Mode
from bot.model.retained_wal import StoredWal, WalLease
from bot.model.retention import Stock
from bot.model.wal import Fork, Lsn, parse_history
from bot.model.window import KnownTime
from bot.repository.cluster import ClusterRepository
from bot.repository.wal import WalArchive, WalInventory


@dataclass(frozen=True, slots=True)
class Needs:
    """Who needs what of a cluster now, as the ledger knows it.

    `readers` are (lock name, run) of runs that read backups; `plan` is a run that does not say yet what it needs.
    """

    leases: tuple[Lease, ...]
    readers: tuple[tuple[str, RunId], ...]
    plan: RunId | None
    statuses: tuple[WalStatus, ...]


def read_needs(ledger: Ledger, cluster: ClusterName) -> Needs:
    """Read who needs what, in one moment.

    Raises:
        Unavailable: the ledger cannot be read; then nobody can say what may go.
    """
    with ledger.read() as tx:
        held = [one for one in locks.held(tx) if one.lock.mode is Mode.READ]
        plan = planning(tx, cluster)
        return Needs(
            leases.held(tx, cluster),
            tuple(
                (one.lock.name, one.run)
                for one in held
                if one.lock.name == f"chain:{cluster}" or one.lock.name.startswith(f"chain:{cluster}/")
            ),
            plan.id if plan else None,
            tuple(wal_status.list(tx, cluster)),
        )


def read_stock(
    repository: ClusterRepository, needs: Needs, newest: Mapping[str, datetime]
) -> tuple[Stock, WalInventory]:
    """List one history and put it beside the needs; `newest` is the newest sound backup of each kind in the repository.

    Raises:
        Unavailable: the repository is away.
    """
    inventory = repository.wal.inventory()
    wal, name, system_id = stored_wal(repository.wal, inventory), repository.name, repository.system_id
    return stock_of(tuple(repository.backups()), wal, needs, newest, name, system_id), inventory


def stock_of(
    backups: tuple[BackupSummary, ...],
    wal: StoredWal,
    needs: Needs,
    newest: Mapping[str, datetime],
    cluster: ClusterName,
    system_id: SystemId,
) -> Stock:
    """Return what is decided about: backups and WAL of one system identifier, beside the needs. Pure."""
    statuses = [status for status in needs.statuses if status.system_id == system_id]
    streamed = max(statuses, key=lambda status: status.at, default=None)
    return Stock(
        backups=backups,
        wal=wal,
        newest=newest,
        held=_held(backups, needs, cluster),
        leased=_leased(needs),
        wal_leases=_wal_leases(needs, cluster),
        live=streamed.timeline if streamed else None,
        times=tuple(_known(status) for status in statuses if status.window),
    )


def stored_wal(archive: WalArchive, inventory: WalInventory) -> StoredWal:
    """Return an inventory as decisions are made on it; history files that cannot be read are as good as missing."""
    return StoredWal(
        segment_bytes=archive.segment_bytes,
        whole={timeline: frozenset(numbers) for timeline, numbers in inventory.segments.items()},
        begun=_begun(inventory),
        stored_at=inventory.stored_at,
        histories=_histories(archive),
    )


def newest_sound(backups: Iterable[BackupSummary]) -> dict[str, datetime]:
    """Return when the newest sound backup of each kind was finished, of whichever system identifier. Pure."""
    found: dict[str, datetime] = {}
    for summary in backups:
        if summary.damaged is None and not summary.partial:
            found[summary.kind] = max(found.get(summary.kind, summary.finished_at), summary.finished_at)
    return found


def _begun(inventory: WalInventory) -> dict[tuple[int, int], int]:
    """Return the segments that are there in pieces only, also where none of the pieces begins at the start."""
    whole = {(timeline, number) for timeline, numbers in inventory.segments.items() for number in numbers}
    return {which: inventory.partial_ends.get(which, 0) for which in inventory.sizes if which not in whole}


def _histories(archive: WalArchive) -> dict[int, tuple[Fork, ...]]:
    found = {}
    for timeline, data in archive.histories(readable=True).items():
        try:
            found[timeline] = parse_history(data.decode())
        except ValueError:
            continue
    return found


def _held(backups: Iterable[BackupSummary], needs: Needs, cluster: ClusterName) -> dict[BackupId, str]:
    held: dict[BackupId, str] = {}
    for backup in backups:
        for name, run in needs.readers:
            if name in {f"chain:{cluster}", f"chain:{cluster}/{backup.id}"}:
                held[backup.id] = f"run {run}"
        if needs.plan is not None:
            held[backup.id] = f"the plan of run {needs.plan}"
    return held


def _leased(needs: Needs) -> dict[BackupId, str]:
    return {backup: f"request {lease.request}" for lease in needs.leases for backup in lease.backups}


def _wal_leases(needs: Needs, cluster: ClusterName) -> tuple[WalLease, ...]:
    """Return the leased WAL; whoever reads any backup of the cluster, or plans, may need all of it."""
    found = [WalLease(f"request {one.request}", one.timeline, one.start) for one in needs.leases if one.timeline]
    everything = [f"run {run}" for name, run in needs.readers if name == f"chain:{cluster}"]
    everything += [f"the plan of run {needs.plan}"] if needs.plan else []
    return (*found, *(WalLease(who, 0, Lsn(0)) for who in everything))


def _known(status: WalStatus) -> KnownTime:
    return KnownTime(status.timeline, status.durable_lsn, datetime.fromisoformat(status.window[-1]["to"]))

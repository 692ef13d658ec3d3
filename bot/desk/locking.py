"""Further locks for a run that is under way: what it reads or writes turns out only then."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bot.desk.change import PITSTOP
from bot.ledger import audit, leases, locks, runs
from bot.ledger.database import Ledger, Tx
from bot.model.ids import BackupId, ClusterName, RunId
from bot.model.locks import Lock, Locked, Mode, blocking
from bot.model.runs import Job, Run


def hold(ledger: Ledger, run_id: RunId, wanted: Iterable[Lock]) -> None:
    """Let a run hold further locks until its end, all or none. Idempotent.

    Raises:
        Locked: another run holds what they meet.
    """
    with ledger.transaction() as tx:
        _take(tx, runs.get(tx, run_id), tuple(wanted))


def release(ledger: Ledger, run_id: RunId, lock: Lock) -> None:
    """Let go of one lock before the run's end. Idempotent."""
    with ledger.transaction() as tx:
        locks.release(tx, run_id, lock)


def claim_deletion(ledger: Ledger, run_id: RunId, backup: BackupId, *, reason: str, at: datetime) -> Lock:
    """Lock a backup against everybody just before it is deleted, and write that into the audit.

    Raises:
        Locked: a run reads or writes it, a request leased it or an older one, or a plan is being made that may choose it.
    """
    with ledger.transaction() as tx:
        run = runs.get(tx, run_id)
        _refuse_leased(tx, run.cluster, backup)
        lock = Lock(f"chain:{run.cluster}/{backup}", Mode.DELETE)
        _take(tx, run, (lock,))
        audit.append(tx, at, PITSTOP, "backup.expire", backup, {"run": run_id, "reason": reason})
        return lock


def planning(tx: Tx, cluster: ClusterName) -> Run | None:
    """Return a run that is making a plan for a cluster, which does not say yet what it will need; None without one."""
    return next((run for run in runs.unfinished(tx) if run.job is Job.PLAN and run.cluster == cluster), None)


def _refuse_leased(tx: Tx, cluster: ClusterName, backup: BackupId) -> None:
    for lease in leases.held(tx, cluster):
        if any(backup >= leased for leased in lease.backups):
            raise Locked(
                f"Request {lease.request} leased {min(lease.backups)}.", hint="It goes once that request ended."
            )
    plan = planning(tx, cluster)
    if plan is not None:
        raise Locked(f"A plan is being made ({plan.id}), which may choose it.", hint="It goes with the next run.")


def _take(tx: Tx, run: Run, wanted: tuple[Lock, ...]) -> None:
    held = locks.held(tx)
    holder = blocking(wanted, [other for other in held if other.run != run.id], run.request)
    if holder is not None:
        other = runs.get(tx, holder.run)
        raise Locked(
            f"The {other.job.words} ({other.id}) holds {holder.lock.name.replace(':', ' ', 1)}.",
            hint=f"Is it still needed? `pitstop status {other.cluster}` shows how far it is.",
        )
    names = {other.lock.name for other in held if other.run == run.id}
    locks.take(tx, run.id, [lock for lock in wanted if lock.name not in names])

"""The executor of a recovery beside: claim, fetch, prepare, recover, check, register, report."""

from __future__ import annotations

from typing import Any

from jobs.accounts import copy_account
from jobs.archived import wake
from jobs.context import JobContext
from jobs.pitr.admit import admit
from jobs.pitr.check import check
from jobs.pitr.claim import claim
from jobs.pitr.directory import take_directory, undo
from jobs.pitr.fetch import fetch, read_manifest
from jobs.pitr.prepare import prepare
from jobs.pitr.replay import Recovered, left_recovered, replay
from jobs.pitr.report import report
from jobs.pitr.wal import serve_wal
from jobs.pitr.work import Work

__all__ = ["run"]


def run(context: JobContext) -> dict[str, Any]:
    """Carry out the run's approved request and answer what `pitr --json` prints.

    1. Claim: look again at everything the plan stands on, and take the request; then take its directory, with a marker.
    2. Where the backup is in an archive (Glacier): ask for it, and wait. Fetch the base backup's files, in parallel.
    3. Prepare a copy that can harm nobody.
    4. Recover: replay WAL, fetched ahead, to exactly the target; prove it; promote.
    5. Check: count the rows of all tables, run the configured SQL checks.
    6. Register: let people in, open the port, tell the desk of the server.

    {"directory", "dsn", "target": {"timeline", "lsn", …}, "proof": {"reached_lsn", "log_line", "timeline", "seconds"},
    "checks": [{"name", "ok", "detail"}], "tables": […], "tables_left_out", "seconds", "phases": [{"name", "seconds"}],
    "bytes", "wal_bytes", "disk_bytes", "backup", "expires_at"}

    An interrupted request starts over, save that a copy already proved and still running is only checked again. Whatever
    goes wrong after the claim, the server is down and the directory gone before the request is FAILED or CANCELLED; of the
    directory only what Pitstop did not put there stays, and the server's log is kept beside the run's own.

    Raises:
        Cancelled: the run was asked to stop, or the request was cancelled.
        Refused: the plan does not hold any more; the request is VOID and nothing was touched.
        Conflict, Unavailable: it could not be claimed now; the request stays APPROVED.
        Corruption: an object of the backup, or WAL, is damaged or missing; it is named.
        Failed: recovery did not end exactly at the target.
    """
    work = claim(context)
    try:
        recovered = left_recovered(work) or _recover(work)
        work.say_verifying()
        found = check(work, recovered)
        server, door = admit(work, recovered.server)
        found["checks"] += door
        return report(work, recovered, found, server)
    except BaseException as error:
        undo(work, error)
        raise


def _recover(work: Work) -> Recovered:
    """Bring the copy to the target: directory, files, configuration, WAL."""
    manifest = read_manifest(work)
    repository = work.stock.repository
    wake(work.context, work.config.repositories[repository.repository.name], repository, manifest.id)
    folder = take_directory(work)
    account = copy_account(work.config, manifest.body["server_facts"])
    fetch(work, folder, manifest, account)
    with serve_wal(work, folder, account) as wal:
        server = prepare(work, folder, manifest, account, wal)
        return replay(work, server, manifest, wal)

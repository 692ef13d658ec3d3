"""Replay WAL to exactly the target, supervised, and remember the proof beside the data."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from bot.model.requests import State
from bot.model.wal import Lsn
from bot.postgres.isolated import IsolatedServer
from bot.postgres.isolated_folder import ServerFolder
from bot.postgres.recovery import RecoveryProof, recover
from bot.postgres.wal_service import WalService
from bot.repository.manifest import Manifest
from jobs.pitr.work import Work

STALL_AFTER_S = 600.0
"""One record may copy or remove a whole database; its replay stands still until all is done."""


@dataclass(frozen=True)
class Recovered:
    """A promoted copy that stands at the target. `bytes` of files and `wal_bytes` of WAL were restored in `seconds`.

    `proof` is JSON: {"reached_lsn", "log_line", "timeline", "seconds"}. `at` is `time.monotonic()` when the `seconds` were over.
    """

    server: IsolatedServer
    proof: dict[str, Any]
    bytes: int
    wal_bytes: int
    seconds: float
    at: float = field(default_factory=time.monotonic)


def replay(work: Work, server: IsolatedServer, manifest: Manifest, wal: WalService) -> Recovered:
    """Start the server, replay to exactly the target, promote it, and note the proof in its marker. Slow.

    Raises:
        Cancelled: the run was asked to stop.
        Unavailable, Corruption, Failed: see `bot.postgres.recovery.recover`; the server is down then.
    """
    context, target = work.context, work.steps.recovery.target
    total = target.lsn - manifest.start_lsn
    context.phase("recover")
    context.progress(0, total)

    def on_progress(position: Lsn) -> None:
        context.progress(min(total, max(0, position - manifest.start_lsn)), total)

    proof = recover(
        server,
        target=target,
        on_progress=on_progress,
        stall_after_s=STALL_AFTER_S,
        wal=wal,
        segment_bytes=work.stock.segment_bytes,
        check=context.check_cancelled,
    )
    seconds = time.monotonic() - work.began
    found = Recovered(server, _as_json(proof), manifest.bytes_read, total, seconds)
    note = {"proof": found.proof, "bytes": found.bytes, "wal_bytes": total, "seconds": seconds}
    server.folder.update(recovered=note)
    return found


def left_recovered(work: Work) -> Recovered | None:
    """Return the recovered copy that an interrupted run of the same request left running; None when there is none."""
    if work.request.state is not State.VERIFYING or not work.owns_directory():
        return None
    note = ServerFolder.open(work.directory).state().get("recovered")
    if note is None:
        return None
    server = IsolatedServer.attach({"directory": str(work.directory)})
    return Recovered(server, **note) if server.running else None


def _as_json(proof: RecoveryProof) -> dict[str, Any]:
    return {
        "reached_lsn": str(proof.reached_lsn),
        "log_line": proof.log_line,
        "timeline": proof.timeline,
        "seconds": round(proof.seconds, 3),
    }

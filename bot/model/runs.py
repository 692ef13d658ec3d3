"""Runs: one execution of a job, from queued to its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.model.ids import ClusterName, RequestId, RunId


class RunState(StrEnum):
    """Where a run stands. `interrupted`: its kernel lock is free although it did not finish."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen in this run."""
        return self not in {RunState.QUEUED, RunState.RUNNING}


class Job(StrEnum):
    """What a run executes; the value is the module's word in the ledger and on the command line."""

    BASE_BACKUP = "base-backup"
    DUMP = "dump"
    IMPORT = "import"
    WAL_STREAM = "wal-stream"
    WAL_CHECK = "wal-check"
    PLAN = "plan"
    EXECUTE = "execute"
    RESTORE_CLEAN = "restore-clean"
    DRILL = "drill"
    DRILL_CLEAN = "drill-clean"
    RETENTION = "retention"
    SCRUB = "scrub"
    SYNC = "sync"
    PIN = "pin"
    SERVER_STOP = "server-stop"
    SERVER_REMOVE = "server-remove"
    FORWARD = "forward"
    DIGEST = "digest"
    REHEARSAL = "rehearsal"
    KEPT_REMOVE = "kept-remove"

    @property
    def of_request(self) -> bool:
        """Whether such a run plans or carries out a request, which then stands and falls with it."""
        return self in {Job.PLAN, Job.EXECUTE}

    @property
    def words(self) -> str:
        """What a sentence calls such a run."""
        return _SPOKEN.get(self, self.value.replace("-", " "))


_SPOKEN = {
    Job.WAL_STREAM: "WAL receiver",
    Job.WAL_CHECK: "WAL check",
    Job.EXECUTE: "request",
    Job.RESTORE_CLEAN: "clearing away after a restore",
    Job.DRILL_CLEAN: "clearing away after a drill",
    Job.SERVER_STOP: "stop of a server",
    Job.SERVER_REMOVE: "removal of a server",
    Job.FORWARD: "forwarder",
    Job.KEPT_REMOVE: "removal of a kept database",
}


@dataclass(frozen=True, slots=True)
class Phase:
    """One finished or current phase of a run, for cards: when it began, how long it took so far (seconds)."""

    name: str
    started_at: datetime
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the ledger keeps it; times are aware UTC, `bytes_*` bytes.

    `args` are the job's inputs, `result` what it answers (JSON), `error` an error's `as_json()`.
    `bytes_total` is None while unknown. `phases` are in order; the last one without `seconds` is current.
    """

    id: RunId
    job: Job
    cluster: ClusterName
    state: RunState
    version: int
    args: dict[str, Any]
    queued_at: datetime
    queued_by: str
    request: RequestId | None = None
    scheduled_for: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress_at: datetime | None = None
    phases: tuple[Phase, ...] = ()
    bytes_done: int = 0
    bytes_total: int | None = None
    note: str = ""
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def phase(self) -> str:
        """The name of the current or last phase, or the empty string."""
        return self.phases[-1].name if self.phases else ""

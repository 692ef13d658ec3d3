"""Runs: queued with their locks, started, ended; a request that stands on a run follows its end in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.ledger.database import Ledger
from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.runs import Job, Phase, Run


def queue_run(
    ledger: Ledger,
    *,
    job: Job,
    cluster: ClusterName,
    args: dict[str, Any],
    by: str,
    at: datetime,
    entropy: bytes,
    request: RequestId | None = None,
    scheduled_for: str | None = None,
) -> Run:
    """Queue a run and take its named locks. `by` is a `Person.key`, or "pitstop" for the schedule.

    Raises:
        Conflict: another run holds a lock it needs (code "locked"), or this occurrence was queued before (code "already-scheduled").
    """
    raise NotImplementedError


def start_run(ledger: Ledger, run_id: RunId, at: datetime, process: dict[str, Any] | None = None) -> Run:
    """Mark a queued run RUNNING. `process` is the identity for signals. The caller holds the run's kernel lock.

    Raises:
        Conflict: it is not queued any more.
    """
    raise NotImplementedError


def progress(
    ledger: Ledger,
    run_id: RunId,
    *,
    at: datetime,
    phases: Sequence[Phase],
    bytes_done: int,
    bytes_total: int | None,
    note: str = "",
) -> Run:
    """Write how far a running run is; at most once a second is the caller's affair. Not audited."""
    raise NotImplementedError


def finish_run(ledger: Ledger, run_id: RunId, result: dict[str, Any], at: datetime) -> Run:
    """End a run well and drop its locks."""
    raise NotImplementedError


def fail_run(ledger: Ledger, run_id: RunId, error: dict[str, Any], at: datetime) -> Run:
    """End a run badly and drop its locks; a request planned or executed by it is REFUSED or FAILED with the same error."""
    raise NotImplementedError


def interrupt_run(ledger: Ledger, run_id: RunId, at: datetime, why: str = "") -> Run:
    """Say that a run's kernel lock is free although it did not finish; drop its locks. Its request is INTERRUPTED with it."""
    raise NotImplementedError


def cancel_run(ledger: Ledger, run_id: RunId, at: datetime, why: str = "") -> Run:
    """End a run that was asked to stop, and drop its locks."""
    raise NotImplementedError

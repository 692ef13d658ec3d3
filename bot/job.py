"""The entry point of one run: `python -I -m bot job RUN --config PATH`, a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from bot.model.runs import Job
from jobs.context import JobContext

JOBS: dict[Job, str] = {
    Job.BASE_BACKUP: "jobs.base_backup",
    Job.WAL_STREAM: "jobs.wal",
    Job.WAL_CHECK: "jobs.wal_check",
    Job.PLAN: "jobs.plan",
    Job.EXECUTE: "jobs.pitr",
    Job.SERVER_STOP: "jobs.servers:stop",
    Job.SERVER_REMOVE: "jobs.servers:remove",
    Job.FORWARD: "jobs.servers:forward",
}
"""Where each job lives: a module with `run(context) -> dict`, or `module:function`. Imported by the run's own process only."""


def job_function(job: Job) -> Callable[[JobContext], dict[str, Any]]:
    """Return the function that executes `job`; imports only that job's module."""
    module, _, name = JOBS[job].partition(":")
    function: Callable[[JobContext], dict[str, Any]] = getattr(import_module(module), name or "run")
    return function

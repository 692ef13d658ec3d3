"""The entry point of one run: `python -I -m bot job RUN --config PATH`, a process of its own.

It holds the run's kernel lock for life; whoever finds the lock free and the run unfinished knows that it died.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import structlog

from bot import config as configuration
from bot import desk
from bot import log as logs
from bot.errors import Conflict, PitstopError, Unavailable, Usage
from bot.host.locks import FileLock
from bot.host.memory import reuse_large_blocks
from bot.host.priority import step_back
from bot.host.processes import identity
from bot.ledger import Ledger
from bot.model.ids import RunId
from bot.model.runs import Job, Run
from bot.process.place import lock_path
from jobs.context import Cancelled, JobContext, utc_now

JOBS: dict[Job, str] = {
    Job.BASE_BACKUP: "jobs.base_backup",
    Job.DUMP: "jobs.dump",
    Job.IMPORT: "jobs.old_backups.bring",
    Job.WAL_STREAM: "jobs.wal.stream",
    Job.WAL_CHECK: "jobs.wal_check",
    Job.PLAN: "jobs.plan",
    Job.EXECUTE: "jobs.execute",
    Job.RESTORE_CLEAN: "jobs.execute:clean",
    Job.DRILL: "jobs.drill",
    Job.DRILL_CLEAN: "jobs.drill:clean",
    Job.RETENTION: "jobs.retention",
    Job.SCRUB: "jobs.scrub",
    Job.SYNC: "jobs.sync",
    Job.PIN: "jobs.pin",
    Job.SERVER_STOP: "jobs.servers:stop",
    Job.SERVER_REMOVE: "jobs.servers:remove",
    Job.FORWARD: "jobs.servers:forward",
    Job.DIGEST: "jobs.digest",
    Job.REHEARSAL: "jobs.rehearsal",
    Job.KEPT_REMOVE: "jobs.kept:remove",
}
"""Where each job lives: a module with `run(context) -> dict`, or `module:function`. Imported by the run's own process only."""

PROMPT = {Job.WAL_STREAM, Job.FORWARD, Job.PLAN}
"""Jobs somebody waits for at every moment; all others step back behind the database."""

UNTIL_STOPPED = {Job.WAL_STREAM, Job.FORWARD}
"""Jobs that return only when asked to: their return is a cancellation, not a success."""

FROM_THE_SERVER = {Job.BASE_BACKUP, Job.DUMP, Job.WAL_STREAM, Job.WAL_CHECK}
"""Jobs that cannot do without the live server, and therefore not without a connection that may be trusted."""

RECORD_FOR_S = 600.0

log = structlog.get_logger("pitstop.job")


def job_function(job: Job, jobs: Mapping[Job, str] = JOBS) -> Callable[[JobContext], dict[str, Any]]:
    """Return the function that executes `job`; imports only that job's module."""
    module, _, name = jobs[job].partition(":")
    function: Callable[[JobContext], dict[str, Any]] = getattr(import_module(module), name or "run")
    return function


def main(run_id: str, config_path: Path | None, jobs: Mapping[Job, str] = JOBS) -> int:
    """Execute the run; return 0 when it succeeded, was cancelled, or another process has it, else the error's exit code.

    Raises:
        Usage: the configuration cannot be read, or there is no such run.
    """
    faulthandler.enable()
    logs.to_stderr()
    structlog.contextvars.bind_contextvars(run=run_id)
    config, _ = configuration.load(config_path)
    ledger = Ledger(config.ledger)
    # `pitstop wal stream` comes here without a supervisor that made the folder.
    config.runs_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(lock_path(config, RunId(run_id)))
    if not lock.acquire():
        log.info("another process has this run")
        return 0
    try:
        return _execute(RunId(run_id), config, ledger, jobs)
    finally:
        lock.release()


def _execute(run_id: RunId, config: configuration.Config, ledger: Ledger, jobs: Mapping[Job, str]) -> int:
    try:
        run = desk.start_run(ledger, run_id, utc_now(), process=identity(os.getpid()).as_json())
    except Conflict as error:
        log.info("not started", reason=error.message)
        return 0
    context = JobContext(run, config, ledger)
    signal.signal(signal.SIGTERM, lambda *_: context.cancel())
    reuse_large_blocks()
    gc.freeze()
    gc.enable()
    if run.job not in PROMPT:
        step_back()
    log.info("started", job=run.job.value, cluster=run.cluster)
    record, code = _outcome(context, jobs)
    context.close()
    _insist(record)
    log.info("ended", exit_code=code)
    return code


def _outcome(context: JobContext, jobs: Mapping[Job, str]) -> tuple[Callable[[], Run], int]:
    """Do the work; return how to record what came of it, and the exit code. The one broad except of a job."""
    ledger, run = context.ledger, context.run
    try:
        if run.job in FROM_THE_SERVER:
            _require_verified(context)
        result = job_function(run.job, jobs)(context)
    except Cancelled:
        return lambda: desk.cancel_run(ledger, run.id, utc_now()), 0
    except PitstopError as error:
        log.warning("failed", code=error.reason_code, error=error.message, hint=error.hint)
        body, code = _as_json(error), error.exit_code
        return lambda: desk.fail_run(ledger, run.id, body, utc_now()), code
    except Exception as error:
        log.exception("failed unexpectedly")
        body = _unexpected(error, context)
        return lambda: desk.fail_run(ledger, run.id, body, utc_now()), 1
    if context.cancelled() and run.job in UNTIL_STOPPED:
        return lambda: desk.cancel_run(ledger, run.id, utc_now()), 0
    return lambda: desk.finish_run(ledger, run.id, result, utc_now()), 0


def _require_verified(context: JobContext) -> None:
    from bot.postgres.transport import require_verified

    require_verified(context.config.cluster(context.run.cluster))


def _as_json(error: PitstopError) -> dict[str, Any]:
    return {**error.as_json(), "exit_code": error.exit_code}


def _unexpected(error: Exception, context: JobContext) -> dict[str, Any]:
    where = context.config.runs_directory / f"{context.run.id}.log"
    return {
        "code": "unexpected",
        "message": f"The job ended on an error nobody expected: {type(error).__name__}.",
        "hint": f"Its log says more: {where}",
        "exit_code": 1,
    }


def _insist(record: Callable[[], Run]) -> None:
    """Record the end of the run, waiting out a ledger that is locked or full; what was done must not be forgotten.

    After `RECORD_FOR_S` seconds this gives up: the lock becomes free, and the run is found interrupted.
    """
    deadline = time.monotonic() + RECORD_FOR_S
    while True:
        try:
            record()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)
        except (Conflict, Usage) as error:
            log.info("ended already", reason=error.message)
            return
        else:
            return

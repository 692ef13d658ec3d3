"""Where runs live on this machine: their kernel locks, their logs, and the command line that starts one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot import desk
from bot.config import Config
from bot.host.locks import is_locked
from bot.host.processes import ProcessIdentity, spawn
from bot.ledger import Ledger
from bot.model.ids import ClusterName, RequestId, RunId
from bot.model.runs import Job, Run

BY = "pitstop"
"""Who queues what nobody asked for."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present time, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Place:
    """What every part of supervision works on. `config_path` is absolute: jobs start in `/`; `command` starts this program."""

    config: Config
    config_path: Path
    ledger: Ledger
    now: Clock = utc_now
    entropy: Callable[[int], bytes] = os.urandom
    command: tuple[str, ...] = (sys.executable, "-I", "-m", "bot")

    @property
    def leader_lock(self) -> Path:
        """The kernel lock that makes one bot the leader, beside the ledger."""
        return self.config.ledger.with_name(self.config.ledger.name + ".leader")

    def lock_of(self, run: RunId) -> Path:
        """The kernel lock a run's process holds for life."""
        return lock_path(self.config, run)

    def log_of(self, run: RunId) -> Path:
        """Where a run's process logs."""
        return self.config.runs_directory / f"{run}.log"

    def queue(
        self,
        job: Job,
        cluster: ClusterName,
        args: dict[str, Any] | None = None,
        *,
        by: str = BY,
        request: RequestId | None = None,
        scheduled_for: str | None = None,
    ) -> Run:
        """Queue a run now. Raises like `desk.queue_run`."""
        return desk.queue_run(
            self.ledger,
            job=job,
            cluster=cluster,
            args=args or {},
            by=by,
            at=self.now(),
            entropy=self.entropy(8),
            request=request,
            scheduled_for=scheduled_for,
        )

    def lives(self, run: RunId) -> bool:
        """Say whether a process holds the run's kernel lock."""
        return is_locked(self.lock_of(run))


def lock_path(config: Config, run: RunId) -> Path:
    """Return the path of the kernel lock of a run."""
    return config.runs_directory / f"{run}.lock"


def start_process(place: Place, run: RunId) -> ProcessIdentity:
    """Start the process that executes `run`, in a session of its own, so that it outlives us.

    Harmless when one exists already: whoever gets the kernel lock and finds the run still queued executes it.

    Raises:
        Unavailable: it cannot be started.
    """
    place.config.runs_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    argv = [*place.command, "job", run, "--config", str(place.config_path)]
    return spawn(argv, log=place.log_of(run), env=without_slack(os.environ))


def without_slack(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without Slack's tokens: no job needs them. Pure."""
    return {name: value for name, value in environment.items() if not name.startswith("SLACK_")}

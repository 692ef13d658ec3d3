"""Running jobs in tests as `bot/job.py` does, in this process or in one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot import desk
from bot.config import Config, load
from bot.host.spool import Spool
from bot.job import job_function
from bot.ledger import Ledger
from bot.model.ids import ClusterName, RunId, SystemId
from bot.model.runs import Job, Run
from bot.postgres.plain import PlainServer
from bot.repository.cluster import ClusterRepository
from bot.repository.keys.file import create_key_file
from bot.repository.open import open_repository
from bot.repository.repository import Repository
from jobs.context import JobContext, utc_now
from jobs.wal.source import WalSource
from jobs.wal.spool import spool_of

CLUSTER = ClusterName("slips")


@dataclass
class Installation:
    """A Pitstop of its own in `home`: configuration, key, ledger, spool and one repository, for one server."""

    home: Path
    config_path: Path
    config: Config
    ledger: Ledger

    @property
    def spool(self) -> Spool:
        """The cluster's spool."""
        return spool_of(self.config.spool, CLUSTER)

    def repository(self, name: str = "local") -> ClusterRepository:
        """Open what is kept of the cluster."""
        opened = self.repository_of_all(name)
        [system] = opened.systems(CLUSTER)
        return opened.cluster(CLUSTER, SystemId(system))

    def repository_of_all(self, name: str = "local") -> Repository:
        """Open a whole repository."""
        return open_repository(name, self.config.repositories[name], self.config.encryption)

    def source(self, name: str = "local") -> WalSource:
        """Return the cluster's WAL as recovery reads it."""
        archive = self.repository(name).wal
        return WalSource(self.spool, [archive], archive.segment_bytes)

    def context(self, job: Job, **args: Any) -> JobContext:
        """Queue and start a run, and return what its job gets."""
        run = self.queue(job, **args)
        return JobContext(desk.start_run(self.ledger, run.id, utc_now()), self.config, self.ledger)

    def queue(self, job: Job, **args: Any) -> Run:
        """Queue a run."""
        return desk.queue_run(
            self.ledger, job=job, cluster=CLUSTER, args=args, by="pitstop", at=utc_now(), entropy=os.urandom(8)
        )

    def run(self, job: Job, **args: Any) -> dict[str, Any]:
        """Execute a job here and return its result; its run ends as it would in a process of its own."""
        context = self.context(job, **args)
        try:
            result = job_function(job)(context)
        except BaseException as error:
            context.close()
            desk.fail_run(self.ledger, context.run.id, {"message": str(error)}, utc_now())
            raise
        context.close()
        desk.finish_run(self.ledger, context.run.id, result, utc_now())
        return result

    def spawn(self, job: Job, **args: Any) -> tuple[RunId, subprocess.Popen[bytes]]:
        """Execute a job in a process of its own, to be killed."""
        run = self.queue(job, **args)
        log = (self.home / f"{run.id}.log").open("wb")
        argv = [sys.executable, "-m", "bot", "--config", str(self.config_path), "job", run.id]
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd="/")
        log.close()
        _spawned.append(process)
        return run.id, process

    def kill(self, run: RunId, process: subprocess.Popen[bytes]) -> None:
        """Kill a job as a crash would, and record what the supervisor would record."""
        process.kill()
        process.wait()
        desk.interrupt_run(self.ledger, run, utc_now())

    @contextmanager
    def receiving(self) -> Iterator[JobContext]:
        """Run the receiver in a thread while the block lasts; what stopped it early is raised at the end."""
        context = self.context(Job.WAL_STREAM)
        failures: list[BaseException] = []

        def receive() -> None:
            try:
                job_function(Job.WAL_STREAM)(context)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=receive, name="receiver")
        thread.start()
        try:
            yield context
        except BaseException as error:
            said = [repr(failure) for failure in failures] or [context._note or "nothing"]
            error.add_note(f"The receiver {'ended by then' if failures else 'said'}: {', '.join(said)}")
            raise
        finally:
            context.cancel()
            thread.join(60)
            context.close()
            desk.cancel_run(self.ledger, context.run.id, utc_now())
            assert not thread.is_alive(), "the receiver did not stop"
        if failures:
            raise failures[0]


_spawned: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def no_job_left_behind() -> Iterator[None]:
    """End the processes that a test spawned and did not end itself."""
    yield
    while _spawned:
        process = _spawned.pop()
        process.kill()
        process.wait()


def install(
    home: Path, server: PlainServer | str, extra: Mapping[str, str] | None = None, top: str = ""
) -> Installation:
    """Make an installation in `home` for a server (or a DSN); `extra` are further keys of the cluster's table, as TOML."""
    dsn = server if isinstance(server, str) else server.dsn()
    home.mkdir(exist_ok=True, parents=True)
    key = home / "key"
    if not key.exists():
        create_key_file(key)
    lines = [f"{name} = {value}" for name, value in {"dsn": _toml(dsn), "shared_disk": "true", **(extra or {})}.items()]
    text = (
        f'ledger = "{home}/ledger.db"\nspool = "{home}/spool"\n{top}\n'
        f'[repositories.local]\nurl = "file://{home}/repository"\n[encryption]\nkey = "file:{key}"\n'
        f"[clusters.{CLUSTER}]\n" + "\n".join(lines) + "\n"
    )
    path = home / "pitstop.toml"
    path.write_text(text, "utf-8")
    config, _ = load(path)
    ledger = Ledger(config.ledger)
    ledger.create()
    return Installation(home, path, config, ledger)


def wait_for(condition: Callable[[], bool], timeout_s: float = 30, what: str = "it") -> None:
    """Wait until `condition` holds.

    Raises:
        AssertionError: it did not within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:.0f} s"
        time.sleep(0.05)


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""Pitstop's side: the real job in a process of its own, and a restore of what it stored."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.ledger import runs
from bot.model.ids import BackupId, RunId
from bot.model.runs import Job
from tests.benchmarks.ground import Cluster, start_alike, stored_bytes
from tests.benchmarks.measuring import Cost, measured


@dataclass(slots=True)
class Pitstop:
    """The installation beside a cluster; of each kind it keeps one backup at a time."""

    cluster: Cluster
    newest: BackupId | None = None

    def back_up(self) -> Cost:
        """Take a base backup as the bot would."""
        return self._take(Job.BASE_BACKUP, "base")

    def dump(self) -> Cost:
        """Dump all databases as the bot would."""
        return self._take(Job.DUMP, "dump")

    def scrub(self) -> Cost:
        """Read everything stored and check it, as the bot would with a budget that is large enough."""
        run = self.cluster.installation.queue(Job.SCRUB, all=True)
        cost = self.execute(run.id)
        found = self.result(run.id)
        assert found["ok"], found
        return cost

    @property
    def stored(self) -> int:
        """The bytes of its one base backup."""
        return self.stored_of("base")

    def stored_of(self, kind: str) -> int:
        """Return the bytes of its one backup of a kind."""
        return sum(stored_bytes(folder) for folder in self._folders(kind))

    def restore(self, folder: Path) -> Cost:
        """Restore the newest base backup into an empty folder with the program below."""
        assert self.newest is not None, "a backup was taken"
        config = self.cluster.installation.config_path
        argv = [sys.executable, "-m", "tests.benchmarks.unpack", str(config), self.newest, str(folder)]
        return measured(argv, log=self.cluster.log, server=self.cluster.server.identity.pid, env=_environment())

    def restore_anew(self) -> Cost:
        """Restore the newest base backup into a folder that is deleted again."""
        folder = self.cluster.home / "restored"
        start_alike(folder)
        try:
            return self.restore(folder)
        finally:
            start_alike(folder)

    def execute(self, run: RunId) -> Cost:
        """Carry a queued run out as the bot does: `python -I -m bot job RUN`."""
        return measured(self.argv(run), log=self.cluster.log, server=self.cluster.server.identity.pid)

    def argv(self, run: RunId) -> list[str]:
        """Return the command line that carries a queued run out."""
        installation = self.cluster.installation
        installation.config.runs_directory.mkdir(mode=0o700, exist_ok=True)
        return [sys.executable, "-I", "-m", "bot", "job", run, "--config", str(installation.config_path)]

    def result(self, run: RunId) -> dict[str, Any]:
        """Return what a finished run answered."""
        with self.cluster.installation.ledger.read() as tx:
            found = runs.get(tx, run)
        assert found is not None
        assert found.result is not None, found
        return found.result

    def _take(self, job: Job, kind: str) -> Cost:
        start_alike(*self._folders(kind))
        run = self.cluster.installation.queue(job)
        cost = self.execute(run.id)
        self.newest = BackupId(str(self.result(run.id)["id"]))
        return cost

    def _folders(self, kind: str) -> list[Path]:
        return list((self.cluster.installation.home / "repository").glob(f"*/*/*/*-{kind}-*"))


def _environment() -> dict[str, str]:
    """Return an environment in which the restoring program finds this checkout from `/`."""
    return {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

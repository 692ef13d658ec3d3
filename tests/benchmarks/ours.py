"""Pitstop's side: the real job in a process of its own, and a restore of what it stored."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bot.ledger import runs
from bot.model.ids import BackupId, RunId
from bot.model.runs import Job
from tests.benchmarks.ground import Cluster, start_alike, stored_bytes
from tests.benchmarks.measuring import Cost, measured


@dataclass(slots=True)
class Pitstop:
    """The installation beside a cluster; it keeps one backup at a time."""

    cluster: Cluster
    newest: BackupId | None = None

    def back_up(self) -> Cost:
        """Take a base backup as the bot would: `python -I -m bot job RUN`, with a fresh run in the ledger."""
        start_alike(*self._folders())
        installation = self.cluster.installation
        installation.config.runs_directory.mkdir(mode=0o700, exist_ok=True)
        run = installation.queue(Job.BASE_BACKUP)
        argv = [sys.executable, "-I", "-m", "bot", "--config", str(installation.config_path), "job", run.id]
        cost = measured(argv, log=self.cluster.log, server=self.cluster.server.identity.pid)
        self.newest = BackupId(str(self.result(run.id)["id"]))
        return cost

    @property
    def stored(self) -> int:
        """The bytes of its one backup."""
        return sum(stored_bytes(folder) for folder in self._folders())

    def restore(self, folder: Path) -> Cost:
        """Restore the newest backup into an empty folder with the program below."""
        assert self.newest is not None, "a backup was taken"
        config = self.cluster.installation.config_path
        argv = [sys.executable, "-m", "tests.benchmarks.unpack", str(config), self.newest, str(folder)]
        return measured(argv, log=self.cluster.log, server=self.cluster.server.identity.pid, env=_environment())

    def result(self, run: str) -> dict[str, object]:
        """Return what a finished run answered."""
        with self.cluster.installation.ledger.read() as tx:
            found = runs.get(tx, RunId(run))
        assert found is not None
        assert found.result is not None, found
        return found.result

    def _folders(self) -> list[Path]:
        return list((self.cluster.installation.home / "repository").glob("*/*/*/*-base-*"))


def _environment() -> dict[str, str]:
    """Return an environment in which the restoring program finds this checkout from `/`."""
    return {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

"""`python -m tests.benchmarks.unpack CONFIG BACKUP FOLDER`: restore one backup's files, as the executor does, and end."""

from __future__ import annotations

import sys
from pathlib import Path

from bot.config import load
from bot.host.accounts import server_account
from bot.host.memory import reuse_large_blocks
from bot.host.priority import step_back
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.repository.open import open_repository
from bot.repository.unpack import unpack


def main(config_path: str, backup: str, folder: str) -> None:
    """Restore `backup` of the one cluster in the first repository of a configuration into `folder`; durable at the end."""
    reuse_large_blocks()
    step_back()
    config, _ = load(Path(config_path))
    [name] = config.clusters
    [(repository_name, repository_config)] = config.repositories.items()
    repository = open_repository(repository_name, repository_config, config.encryption)
    [system] = repository.systems(ClusterName(name))
    cluster = repository.cluster(ClusterName(name), SystemId(system))
    target, account = Path(folder), server_account()
    unpack(
        cluster,
        cluster.manifest(BackupId(backup)),
        target / "data",
        tablespace_dir=lambda oid: target / str(oid),
        owner=(account.uid, account.gid),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

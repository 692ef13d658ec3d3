"""`python -m tests.benchmarks.unpack CONFIG BACKUP FOLDER`: restore one backup's files, as the executor does, and end.

It starts and ends as every job does: see `bot.__main__` and `bot.job`.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path


def main(config_path: str, backup: str, folder: str) -> None:
    """Restore `backup` of the one cluster in the first repository of a configuration into `folder`; durable at the end."""
    gc.disable()
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    from bot.config import load
    from bot.host.accounts import server_account
    from bot.host.memory import reuse_large_blocks
    from bot.host.priority import step_back
    from bot.model.ids import BackupId, ClusterName, SystemId
    from bot.repository.open import open_repository
    from bot.repository.unpack import unpack

    reuse_large_blocks()
    gc.freeze()
    gc.enable()
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
    os._exit(0)

"""The files of a cluster's folder of old backups, as they lie, and which dump each became."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

from bot.config import ClusterConfig, Config, OldBackupsConfig
from bot.errors import PitstopError, Usage
from bot.ledger import Ledger, old_backups
from bot.model.backups import BackupSummary
from bot.model.ids import ClusterName
from bot.model.old_backups import SUFFIXES, OldBackup
from bot.model.typed import nearest, quoted
from bot.repository.cluster import ClusterRepository
from jobs.repositories import newest_system, open_for_reading

_DUMP = "dump"
WITHIN_S = 5.0
"""How long the folder may take to answer; one on a dead mount never does."""


def list_old(config: ClusterConfig, imported: dict[str, str]) -> list[OldBackup]:
    """Return the files of a cluster's folder of old backups, the oldest first; nothing is opened.

    `imported` are the ids of dumps by the names of the files they came from.

    Raises:
        Usage: the folder cannot be read.
    """
    if config.old_backups is None:
        return []
    folder = config.old_backups.directory
    try:
        found = [path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.is_file()]
        stats = [(path, path.stat()) for path in found]
    except OSError as error:
        raise Usage(
            f"The folder of old backups, {folder}, cannot be read: {error.strerror}.",
            hint="Is old_backups.directory right, and may this user read it?",
            code="no-old-backups",
        ) from None
    listed = [
        OldBackup(path, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC), imported.get(path.name))
        for path, stat in stats
    ]
    return sorted(listed, key=lambda old: (old.changed_at, old.path.name))


def imported_files(repository: ClusterRepository, backups: list[BackupSummary]) -> dict[str, str]:
    """Return the ids of the dumps that were imported, by the names of their files. Reads the dumps' manifests."""
    found = {}
    for backup in backups:
        if backup.kind == _DUMP:
            try:
                name = repository.manifest(backup.id).body.get("imported", {}).get("file")
            except PitstopError:
                continue
            if name:
                found[str(name)] = str(backup.id)
    return found


def old_backups_of(config: Config, ledger: Ledger, cluster: ClusterName) -> list[OldBackup]:
    """Return a cluster's old backups, with what became of them in its first repository and what drills said of them.

    Raises:
        Usage: the folder cannot be read.
    """
    settings = config.cluster(cluster)
    if settings.old_backups is None:
        return []
    first = next(iter(config.cluster_repositories(cluster)))
    try:
        repository = open_for_reading(config, first, cluster, newest_system(config, first, cluster))
        known = imported_files(repository, repository.backups())
    except PitstopError:
        known = {}
    with ledger.read() as tx:
        proved = old_backups.proved(tx, cluster)
    return [replace(old, verified_at=proved.get(old.path.name)) for old in list_old(settings, known)]


def keep_old_backups(config: Config, ledger: Ledger, cluster: ClusterName) -> None:
    """Renew the ledger's list of a cluster's old backups; of a folder that cannot be read now it stays as it was."""
    found: list[list[OldBackup]] = []

    def look() -> None:
        with suppress(Usage):
            found.append(list_old(config.cluster(cluster), {}))

    looking = Thread(target=look, daemon=True)
    looking.start()
    looking.join(WITHIN_S)
    if not found:
        return
    with ledger.read() as tx:
        known = old_backups.files(tx, cluster)
    if known != found[0]:
        with ledger.transaction() as tx:
            old_backups.replace(tx, cluster, found[0])


def settings_of(config: Config, cluster: ClusterName) -> OldBackupsConfig:
    """Return what the configuration says of a cluster's old backups.

    Raises:
        Usage: `no-old-backups`, nothing.
    """
    settings = config.cluster(cluster).old_backups
    if settings is None:
        raise Usage(
            f"The configuration names no old backups of {cluster}.",
            hint=f'Add [clusters.{cluster}.old_backups] with directory = "/backups/daily".',
            code="no-old-backups",
        )
    return settings


def named(files: list[OldBackup], wanted: str) -> OldBackup:
    """Return the file of that name, or path.

    Raises:
        Usage: `unknown-file`, with the nearest name.
    """
    for old in files:
        if wanted in {old.path.name, str(old.path)}:
            return old
    near = nearest(Path(wanted).name, [old.path.name for old in files])
    raise Usage(
        f"There is no old backup {quoted(Path(wanted).name)} in the configured folder.",
        hint=f"Did you mean {near}?" if near else f"It ends with one of {', '.join(SUFFIXES)}.",
        code="unknown-file",
    )

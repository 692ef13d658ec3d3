"""This machine as the monitor sees it: the disks our folders are on, and which receivers live."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bot.config import Config
from bot.host.files import nearest_existing
from bot.host.locks import is_locked
from jobs.wal.spool import spool_of


@dataclass(frozen=True, slots=True)
class Room:
    """A file system: what of ours is on it, one of the folders, and its bytes."""

    name: str
    path: str
    total_bytes: int
    free_bytes: int


def folders(config: Config) -> dict[str, Path]:
    """Return every folder whose disk matters, by what is in it. Pure."""
    found = {"ledger": config.ledger.parent, "spool": config.spool, "restores": config.restore.directory}
    for name, repository in config.repositories.items():
        url = urlsplit(repository.url)
        if url.scheme == "file":
            found[f"repository {name}"] = Path(unquote(url.path))
    return found


def rooms(where: Mapping[str, Path]) -> list[Room]:
    """Return the file systems that folders are on, each once, named after all that is on it. May hang on a dead mount.

    Raises:
        OSError: a folder's disk cannot be asked.
    """
    devices: dict[int, list[tuple[str, Path]]] = {}
    for name, folder in where.items():
        there = nearest_existing(folder)
        devices.setdefault(there.stat().st_dev, []).append((name, there))
    found = []
    for held in devices.values():
        stats = os.statvfs(held[0][1])
        names = ", ".join(name for name, _ in held)
        size = (stats.f_blocks - stats.f_bfree + stats.f_bavail) * stats.f_frsize
        found.append(Room(names, str(held[0][1]), size, stats.f_bavail * stats.f_frsize))
    return found


def receiver_lives(config: Config, cluster: str) -> bool:
    """Say whether a receiver holds the lock of a cluster's spool, whoever started it."""
    return is_locked(spool_of(config.spool, cluster).lock_path)

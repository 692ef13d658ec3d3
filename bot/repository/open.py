"""Open a repository named in the configuration: its store, its key, and whether they belong together."""

from __future__ import annotations

from bot.config import EncryptionConfig, RepositoryConfig
from bot.repository.repository import Repository


def open_repository(
    name: str, config: RepositoryConfig, encryption: EncryptionConfig, *, create: bool = False
) -> Repository:
    """Open repository `name`; with `create`, make its folder and first data key where they are missing (idempotent).

    Raises:
        Usage: the key file is missing, unreadable, open to others, malformed or not this repository's; the folder is
            missing, not a folder or not a repository.
        Unavailable: the storage cannot be reached.
        Corruption: a wrapped data key is damaged.
    """
    raise NotImplementedError

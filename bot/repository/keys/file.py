"""The key file: 32 random bytes that wrap the repositories' data keys. Whoever has it can read every backup."""

from __future__ import annotations

from pathlib import Path


def create_key_file(path: Path) -> str:
    """Make a key file (0600, durable) and return the key's id, 16 hex digits that name it and reveal nothing.

    Raises:
        Conflict: `key-exists`; a key file is never overwritten.
        Usage: its folder is missing or not writable.
    """
    raise NotImplementedError

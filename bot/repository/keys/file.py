"""The key file: 32 random bytes that wrap the repositories' data keys. Whoever has it can read every backup."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from functools import cached_property
from pathlib import Path

from bot.errors import Usage
from bot.repository.keys.form import WrappedKey, bound_to
from bot.repository.keys.private import create_private, read_private
from bot.repository.keys.sealing import open_key, seal_key

KEY_BYTES = 32
_WHAT = "key file"
_HEX = re.compile(r"^[0-9a-fA-F]{64}$")
_COMMENT = """\
# Pitstop's key {id}: it opens every backup in the repositories made with it, and without it none can be opened.
# Keep a copy away from this machine and away from the backups, where few people can read it.
"""


class KeyFile:
    """Wraps data keys with AES-256-GCM under the key in a file, which is read when it is first needed."""

    kind = "file"
    remote = False

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def source(self) -> str:
        """Return the setting."""
        return f"file:{self.path}"

    @cached_property
    def key(self) -> bytes:
        """The 32 bytes in the file.

        Raises:
            Usage: see `read_key_file`.
        """
        return _parsed(self.path, read_private(self.path, _WHAT))

    @property
    def id(self) -> str:
        """Return 16 hex digits that name the key and reveal nothing of it."""
        return key_file_id(self.key)

    def describe(self) -> str:
        """Return the setting with the key's id, where it can be read."""
        try:
            return f"{self.source} (id {self.id})"
        except Usage:
            return self.source

    def recognises(self, form: WrappedKey) -> bool:
        """Say whether a form was wrapped with this key."""
        return (form.kind, form.by) == (self.kind, self.id)

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        """Return the data key's form under this key."""
        by = self.id
        return WrappedKey(key_id, self.kind, by, seal_key(self.key, data_key, bound_to(key_id, self.kind, by)))

    def unwrap(self, form: WrappedKey) -> bytes | None:
        """Return the data key, or None when the form was altered."""
        return open_key(self.key, form.wrapped, form.bound)


def key_file_id(key: bytes) -> str:
    """Return what names a key: the first 8 bytes of a SHA-256 over it, in hexadecimal."""
    return hashlib.sha256(b"pitstop key file v1\0" + key).hexdigest()[:16]


def create_key_file(path: Path) -> str:
    """Make a key file (0600, durable) and return the key's id, 16 hex digits that name it and reveal nothing.

    Raises:
        Conflict: `key-exists`; a key file is never overwritten.
        Usage: its folder is missing or not writable.
    """
    key = secrets.token_bytes(KEY_BYTES)
    create_private(path, _COMMENT.format(id=key_file_id(key)) + key.hex() + "\n", _WHAT)
    return key_file_id(key)


def read_key_file(path: Path) -> KeyFile:
    """Read a key file and check that it is one, and private.

    Raises:
        Usage: `key-missing`, `key-unreadable`, `key-not-private` or `key-malformed`; never showing the content.
    """
    found = KeyFile(path)
    assert found.key
    return found


def _parsed(path: Path, data: bytes) -> bytes:
    lines = [line.strip() for line in data.decode("ascii", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    key = _parse(lines[0]) if len(lines) == 1 else None
    if key is None:
        raise Usage(
            f"The key file {path} does not hold one key of {KEY_BYTES} bytes.",
            hint="It should have one line of 64 hexadecimal digits (or base64) and comments. Is it the right file?",
            code="key-malformed",
        )
    return key


def _parse(line: str) -> bytes | None:
    if _HEX.match(line):
        return bytes.fromhex(line)
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None

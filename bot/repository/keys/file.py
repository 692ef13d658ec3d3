"""The key file: 32 random bytes that wrap the repositories' data keys. Whoever has it can read every backup."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bot.errors import Conflict, Usage
from bot.host.files import fsync_dir

KEY_BYTES = 32
_NONCE_BYTES = 12
_HEX = re.compile(r"^[0-9a-fA-F]{64}$")
_COMMENT = """\
# Pitstop's key {id}: it opens every backup in the repositories made with it, and without it none can be opened.
# Keep a copy away from this machine and away from the backups, where few people can read it.
"""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Wraps data keys with AES-256-GCM under the key in a file."""

    path: Path
    key: bytes = field(repr=False)

    @property
    def kind(self) -> str:
        """Return `file`."""
        return "file"

    @property
    def id(self) -> str:
        """Return 16 hex digits that name the key and reveal nothing of it."""
        return key_file_id(self.key)

    @property
    def source(self) -> str:
        """Return the file's path."""
        return str(self.path)

    def wrap(self, data_key: bytes, bound: bytes) -> bytes:
        """Return a random nonce and the encrypted data key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self.key).encrypt(nonce, data_key, bound)

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes | None:
        """Return the data key, or None when `wrapped` or `bound` is not what was wrapped."""
        try:
            return AESGCM(self.key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            return None


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
    text = _COMMENT.format(id=key_file_id(key)) + key.hex() + "\n"
    # Written beside and linked, so that a crash leaves no half key under the name people back up.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _write_new(temporary, text.encode())
        try:
            os.link(temporary, path)
        finally:
            temporary.unlink()
        fsync_dir(path.parent)
    except FileExistsError:
        raise Conflict(
            f"There is a key file at {path} already; it was not touched.",
            hint="Use it, or name another file: a key that backups were made with must never be replaced.",
            code="key-exists",
        ) from None
    except OSError as error:
        raise Usage(
            f"The key file {path} cannot be made: {error.strerror}.",
            hint=f"Does the folder {path.parent} exist, and may this user write there?",
            code="key-not-made",
        ) from error
    return key_file_id(key)


def read_key_file(path: Path) -> KeyFile:
    """Read a key file and check that it is one, and private.

    Raises:
        Usage: `key-missing`, `key-unreadable`, `key-not-private` or `key-malformed`; never showing the content.
    """
    data = _read_private(path)
    lines = [line.strip() for line in data.decode("ascii", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    key = _parse(lines[0]) if len(lines) == 1 else None
    if key is None:
        raise Usage(
            f"The key file {path} does not hold one key of {KEY_BYTES} bytes.",
            hint="It should have one line of 64 hexadecimal digits (or base64) and comments. Is it the right file?",
            code="key-malformed",
        )
    return KeyFile(path, key)


def _parse(line: str) -> bytes | None:
    if _HEX.match(line):
        return bytes.fromhex(line)
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Usage(f"The key file {path} is not a file.", code="key-malformed")
            if mode & 0o077:
                raise Usage(
                    f"The key file {path} can be read by others (mode {stat.S_IMODE(mode):04o}).",
                    hint=f"chmod 600 {path}",
                    code="key-not-private",
                )
            return file.read(64 * 1024)
    except FileNotFoundError:
        raise Usage(
            f"There is no key file at {path}.",
            hint="Make one with `pitstop keys init`, or bring the copy you keep: backups open only with the key they "
            "were made with.",
            code="key-missing",
        ) from None
    except OSError as error:
        raise Usage(
            f"The key file {path} cannot be read: {error.strerror}.",
            hint="Does the user that runs this own it?",
            code="key-unreadable",
        ) from error


def _write_new(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)

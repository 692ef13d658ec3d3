"""Files that hold a secret: made once, readable by one account alone, never shown."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from bot.errors import Conflict, Usage
from bot.host.files import fsync_dir

_MOST_BYTES = 64 * 1024


def create_private(path: Path, text: str, what: str) -> None:
    """Write a new file (0600, durable) that is never overwritten; `what` names it in errors, like `key file`.

    Raises:
        Conflict: `key-exists`.
        Usage: `key-not-made`, its folder is missing or not writable.
    """
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
            f"There is a {what} at {path} already; it was not touched.",
            hint="Use it, or name another file: a key that backups were made with must never be replaced.",
            code="key-exists",
        ) from None
    except OSError as error:
        raise Usage(
            f"The {what} {path} cannot be made: {error.strerror}.",
            hint=f"Does the folder {path.parent} exist, and may this user write there?",
            code="key-not-made",
        ) from error


def read_private(path: Path, what: str) -> bytes:
    """Return the first 64 KiB of a file that only its owner may read.

    Raises:
        Usage: `key-missing`, `key-unreadable`, `key-not-private`, or `key-malformed` where it is no file.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Usage(
                    f"The {what} {path} is not a file.", hint="Is the path in [encryption] right?", code="key-malformed"
                )
            if mode & 0o077:
                raise Usage(
                    f"The {what} {path} in [encryption] can be read by others (mode {stat.S_IMODE(mode):04o}).",
                    hint=f"chmod 600 {path}",
                    code="key-not-private",
                )
            return file.read(_MOST_BYTES)
    except FileNotFoundError:
        raise Usage(
            f"There is no {what} at {path}, which [encryption] names.",
            hint="Make one with `pitstop keys init`, or bring the copy you keep: backups open only with the key they "
            "were made with.",
            code="key-missing",
        ) from None
    except OSError as error:
        raise Usage(
            f"The {what} {path} in [encryption] cannot be read: {error.strerror}.",
            hint="Does the user that runs this own it?",
            code="key-unreadable",
        ) from error


def _write_new(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)

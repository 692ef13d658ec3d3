"""The folder of a server beside: claimed with a marker that proves it is ours, and removed so that a crash half way is finished.

.pitstop-server.json   the marker: what this folder is, how its server is started, and who the process is
data/                  PGDATA
tablespaces/<oid>/     the backup's tablespaces; path-<digest>/ stands for a path that replay created one at
production-config/     the configuration that came with the backup, set aside, never loaded
room/                  where the server's private root is mounted
server.log, pgpass
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import Refused, Unavailable, Usage
from bot.host.accounts import Account
from bot.host.files import fsync_dir, remove_tree, short_socket_dir, write_durable

MARKER = ".pitstop-server.json"
_TRASH = ".removing"
_FOLDERS = ("data", "tablespaces", "production-config", "room")
_FILES = ("server.log", "pgpass")
_IGNORED = {"lost+found"}


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """The places inside a claimed folder."""

    path: Path

    @classmethod
    def claim(cls, directory: Path, **known: Any) -> ServerFolder:
        """Make `directory` (or take an empty one) and mark it as ours, before anything else is put there.

        `known` is JSON that the marker says from the start, such as whom the folder was claimed for.

        Raises:
            Usage: it is not empty, or cannot be made.
        """
        path = directory.absolute()
        try:
            made = _make(path)
        except OSError as error:
            raise Usage(
                f"{path} cannot be made: {error.strerror}.", hint="Name another directory.", code="bad-directory"
            ) from None
        drop_half_written(path)
        if any(entry.name not in _IGNORED for entry in path.iterdir()):
            raise Usage(
                f"{path} is not empty.",
                hint="Name a directory that is empty or does not exist yet.",
                code="directory-not-empty",
            )
        folder = cls(path)
        folder._write({**known, "format": 1, "inode": path.stat().st_ino, "made": made})
        return folder

    @classmethod
    def open(cls, directory: Path) -> ServerFolder:
        """Return the folder claimed before.

        Raises:
            Refused: `directory` is missing or carries no marker of ours for this very folder.
        """
        folder = cls(directory.absolute())
        if not folder.is_ours():
            raise Refused(
                f"{directory} was not made by Pitstop, so Pitstop does not touch it.",
                hint="`pitstop server list` shows the servers beside. Is the directory right?",
                code="not-ours",
            )
        return folder

    @property
    def data(self) -> Path:
        """PGDATA; absent until the backup is unpacked."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.path / "server.log"

    @property
    def passfile(self) -> Path:
        """The libpq password file of the people who were given access."""
        return self.path / "pgpass"

    @property
    def set_aside(self) -> Path:
        """Where production's configuration files go."""
        return self.path / "production-config"

    @property
    def room(self) -> Path:
        """The empty folder the server's private root is mounted on."""
        return self.path / "room"

    def tablespace(self, oid: int) -> Path:
        """Return where the files of the backup's tablespace `oid` go; absent until the backup is unpacked."""
        return self.path / "tablespaces" / str(oid)

    def stand_in(self, location: str) -> Path:
        """Return the private folder that stands for `location` of the production server, where replay makes a tablespace."""
        return self.path / "tablespaces" / f"path-{hashlib.sha256(os.fsencode(location)).hexdigest()[:12]}"

    def state(self) -> dict[str, Any]:
        """Return what the marker says.

        Raises:
            Unavailable: it cannot be read.
        """
        try:
            found: dict[str, Any] = json.loads((self.path / MARKER).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self.path / MARKER} cannot be read: {error}.", code="marker-unreadable") from None
        return found

    def update(self, **changes: Any) -> None:
        """Change what the marker says, durably; None removes a key."""
        self._write({key: value for key, value in {**self.state(), **changes}.items() if value is not None})

    def is_ours(self) -> bool:
        """Say whether the marker was written for this very folder, and not copied here with another's files."""
        try:
            state = self.state()
            return bool(state.get("format") == 1 and state.get("inode") == self.path.stat().st_ino)
        except (Unavailable, OSError):
            return False

    def socket_dir(self, account: Account) -> Path:
        """Return the private folder of the server's sockets, a new one when there is none (first start, reboot)."""
        recorded = self.state().get("socket_dir")
        if recorded and Path(recorded).is_dir():
            return Path(recorded)
        # The marker names it before it is there: nothing is left behind when we die in between.
        return short_socket_dir(
            None if account.is_current else (account.uid, account.gid),
            announce=lambda made: self.update(socket_dir=str(made)),
        )

    def drop_socket_dir(self) -> None:
        """Remove the sockets' folder; idempotent."""
        recorded = self.state().get("socket_dir")
        if recorded:
            remove_tree(Path(recorded))
            self.update(socket_dir=None)

    def remove(self) -> list[str]:
        """Delete what Pitstop put here and return the names of what it did not, which stays. The server must be down.

        Data is renamed out of the way first, so that half-deleted files never look like a server; the marker goes last.
        After a crash anywhere, calling it again finishes.
        """
        trash = self.path / _TRASH
        self.update(removing=True)
        self.drop_socket_dir()
        made = self.state().get("made", False)
        trash.mkdir(mode=0o700, exist_ok=True)
        for name in _FOLDERS:
            if (self.path / name).exists():
                (self.path / name).rename(trash / name)
        fsync_dir(self.path)
        shutil.rmtree(trash)
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        drop_half_written(self.path)
        kept = sorted(entry.name for entry in self.path.iterdir() if entry.name not in {MARKER, *_IGNORED})
        (self.path / MARKER).unlink()
        if made and not any(self.path.iterdir()):
            self.path.rmdir()
        return kept

    def _write(self, state: Mapping[str, Any]) -> None:
        write_durable(self.path / MARKER, json.dumps(state, indent=1, sort_keys=True).encode())


def drop_half_written(directory: Path) -> None:
    """Remove markers that were being written when their writer died; there is nobody else who writes them. Idempotent."""
    for marker in directory.glob(f".{MARKER}.*"):
        marker.unlink(missing_ok=True)


def _make(path: Path) -> bool:
    """Make the folder with its parents; return whether it was missing."""
    if path.is_dir():
        return False
    path.mkdir(parents=True, mode=0o755)
    path.chmod(0o755)
    return True

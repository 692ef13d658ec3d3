"""Where a recovery goes: is the folder free and allowed, is the port, is there room?"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.config import Config
from bot.errors import Refused, Usage
from bot.host.files import free_bytes
from bot.model.destinations import Beside
from bot.postgres.isolated_folder import ServerFolder

_IGNORED = {"lost+found"}
_MARGIN = 256 * 1024 * 1024


def destination(config: Config, asked: Mapping[str, Any], name: str) -> Beside:
    """Return where `asked` leads: its directory, or a folder called `name` among the restores.

    Raises:
        Usage: `directory-not-empty`, `bad-directory`, `port-in-use`, `bad-port`.
        Refused: `directory-not-allowed`, the folder is inside something of Pitstop's or of a live server's.
    """
    directory = Path(asked.get("directory") or config.restore.directory / name).absolute()
    _allowed(config, directory)
    if not is_free(directory):
        raise Usage(
            f"{directory} is not empty.",
            hint="Name a directory that is empty or does not exist yet.",
            code="directory-not-empty",
        )
    port = asked.get("port")
    _usable_port(port)
    return Beside(str(directory), port)


def is_free(directory: Path) -> bool:
    """Say whether a server can be put into `directory`: it is missing or empty.

    Raises:
        Usage: it is not a directory, or cannot be looked at.
    """
    try:
        return not directory.exists() or all(entry.name in _IGNORED for entry in directory.iterdir())
    except OSError as error:
        raise Usage(
            f"{directory} cannot be used: {error.strerror}.", hint="Name another directory.", code="bad-directory"
        ) from None


def is_own(directory: Path) -> bool:
    """Say whether Pitstop claimed `directory` for a server."""
    return ServerFolder(directory).is_ours()


def port_is_free(port: int | None) -> bool:
    """Say whether 127.0.0.1:`port` can be listened on; no port is always free.

    Raises:
        Usage: `bad-port`, only root may listen there.
    """
    if port is None:
        return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise Usage(f"Port {port} needs root.", hint="Name one above 1023.", code="bad-port") from None
            return False
        return True


def disk_needed(backup_bytes: int, wal_bytes: int) -> int:
    """Return the bytes a recovery may need: the files, what replay adds at most, and a margin of 5% or 256 MiB."""
    return backup_bytes + wal_bytes + max(_MARGIN, backup_bytes // 20)


def require_disk(directory: Path, needed: int) -> int:
    """Return the bytes free for `directory`.

    Raises:
        Refused: `too-little-disk`.
    """
    free = free_bytes(directory)
    if free < needed:
        raise Refused(
            f"{directory} has {_mib(free)} MiB free, and the recovery may need {_mib(needed)} MiB.",
            hint="Name a directory on a larger disk with --into-directory, or remove a server: `pitstop server list`.",
            code="too-little-disk",
        )
    return free


def _usable_port(port: int | None) -> None:
    if port is not None and not 0 < port < 65536:
        raise Usage(f"{port} is not a port.", hint="Name one from 1024 to 65535.", code="bad-port")
    if not port_is_free(port):
        raise Usage(f"Port {port} is in use.", hint="Name another port, or none.", code="port-in-use")


def _allowed(config: Config, directory: Path) -> None:
    """Refuse folders in which a restored server could be taken for something else, or overwrite it.

    Raises:
        Refused: `directory-not-allowed`.
    """
    real = Path(os.path.realpath(directory))
    for taken, what in _taken(config):
        if real == taken or taken in real.parents or real in taken.parents:
            raise Refused(
                f"{directory} overlaps with {what}, {taken}.",
                hint=f"Name a directory elsewhere, for example below {config.restore.directory}.",
                code="directory-not-allowed",
            )


def _taken(config: Config) -> list[tuple[Path, str]]:
    found = [(config.spool, "the spool"), (config.runs_directory, "the runs' folder")]
    found += [
        (r.directory, f"the repository {name}") for name, r in config.repositories.items() if r.directory is not None
    ]
    found += [(c.data_directory, f"the data directory of {n}") for n, c in config.clusters.items() if c.data_directory]
    return [(Path(os.path.realpath(path)), what) for path, what in found]


def _mib(size: int) -> int:
    return size // (1024 * 1024)

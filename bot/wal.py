"""`pitstop wal push` and `pitstop wal fetch`: what archive_command and restore_command run. Standard library only.

No configuration, ledger or bot is needed, and nothing else is imported: each call costs what starting Python costs.

`push` answers 0 only when the file is durable in the spool; anything else makes PostgreSQL keep it and ask again.
`fetch` answers 0 with the file in place; 1 only when a running receiver proved, by listing every repository, that the file
does not exist; 255 for everything else, so that recovery stops with an error instead of ending early.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bot.errors import PitstopError, Usage
from bot.host.spool import Spool, is_segment, is_side_file, is_wal_name
from bot.model.wal import parse_segment_name
from bot.model.wal_headers import check_header

DONE, FAILED, USAGE, ABSENT, UNKNOWN = 0, 1, 2, 1, 255
_TIMEOUT_S = 120
_BLOCK = 1 << 20


def main(argv: Sequence[str]) -> int:
    """Run `push --spool DIR PATH` or `fetch --spool DIR NAME PATH` (what follows `pitstop wal`); return the exit code."""
    verb, *rest = argv or [""]
    wanted = {"push": 3, "fetch": 4}.get(verb)
    if wanted is None or len(rest) != wanted or rest[0] != "--spool":
        print("usage: pitstop wal push --spool DIR %p | pitstop wal fetch --spool DIR %f %p", file=sys.stderr)
        return UNKNOWN if verb == "fetch" else USAGE
    spool = Spool(Path(rest[1]))
    return _push(spool, Path(rest[2])) if verb == "push" else _fetch(spool, rest[2], Path(rest[3]))


def _push(spool: Spool, source: Path) -> int:
    if not is_wal_name(source.name):
        return _say("push", f"{source.name} is not a WAL file's name", USAGE)
    if not spool.directory.is_dir():
        return _say("push", f"there is no spool at {spool.directory}; create it for the server's user first", USAGE)
    try:
        spool.create()
        data = source.read_bytes()
        if is_segment(source.name):
            _check_segment(spool, source.name, data)
        put = spool.put_side if is_side_file(source.name) else spool.put
        put(source.name, data)
    except PitstopError as error:
        return _say("push", str(error), FAILED)
    except OSError as error:
        return _say("push", f"{error.filename or source}: {error.strerror}", FAILED)
    return DONE


def _check_segment(spool: Spool, name: str, data: bytes) -> None:
    """Refuse another cluster's segment before the server is told that it is safe; a spool without an owner takes any.

    Raises:
        Corruption: `foreign-wal`.
        Usage: `foreign-wal`, the name is not one of this cluster's.
    """
    owner = spool.identity()
    if owner is None:
        return
    try:
        timeline, number = parse_segment_name(name, owner.segment_bytes)
    except ValueError:
        raise Usage(
            f"{name} is no segment of a cluster whose segments have {owner.segment_bytes} bytes.", code="foreign-wal"
        ) from None
    check_header(data, owner.system_id, timeline, number, owner.segment_bytes)


def _fetch(spool: Spool, name: str, target: Path) -> int:
    if not is_wal_name(name):
        return _say("fetch", f"{name} is not a WAL file's name", UNKNOWN)
    try:
        data = spool.read_side(name) if is_side_file(name) else spool.read(name)
        if data is not None:
            _place(target, data)
            return DONE
        return _ask_receiver(spool, name, target)
    except OSError as error:
        return _say("fetch", f"{name}: {error.strerror or error}", UNKNOWN)


def _ask_receiver(spool: Spool, name: str, target: Path) -> int:
    """Ask the running receiver, which can read the repositories: it answers `found <bytes>`, `absent` or `failed <why>`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(_TIMEOUT_S)
        folder = os.open(spool.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Through the open folder, the socket's path is short however deep the spool lies.
            link.connect(f"/proc/self/fd/{folder}/{spool.socket_path.name}")
        except PermissionError:
            return _say("fetch", f"{name} is not in the spool, and only the receiver's own user may ask it", UNKNOWN)
        except OSError:
            return _say("fetch", f"{name} is not in the spool, and no receiver runs to ask the repositories", UNKNOWN)
        finally:
            os.close(folder)
        link.sendall(f"{name}\n".encode())
        with link.makefile("rb") as answer:
            word, _, rest = answer.readline().decode().strip().partition(" ")
            if word == "absent":
                return ABSENT
            data = answer.read(int(rest)) if word == "found" else b""
    if word != "found" or len(data) != int(rest):
        return _say("fetch", f"{name}: {rest or 'the receiver went away'}", UNKNOWN)
    _place(target, data)
    return DONE


def _place(target: Path, data: bytes) -> None:
    """Put the file where the server expects it, whole or not at all."""
    fd, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _say(verb: str, text: str, code: int) -> int:
    print(f"pitstop wal {verb}: {text}", file=sys.stderr)
    return code

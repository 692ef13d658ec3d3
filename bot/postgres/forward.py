"""A door for people: 127.0.0.1:port leads to a restored server's Unix socket, as long as that server lives."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from bot.errors import Usage

_LOOPBACK = "127.0.0.1"
_BLOCK = 64 * 1024
_LOOK_EVERY_S = 0.5


def forward(port: int, socket_path: Path, *, until: Callable[[], bool]) -> int:
    """Carry connections from 127.0.0.1:`port` to `socket_path` until `until()` is true; return how many there were.

    Slow: runs as long as the server does. `until` is asked twice a second. Open connections end with it.

    Raises:
        Usage: the port is taken.
    """
    carried = 0
    links: list[tuple[socket.socket, socket.socket]] = []
    with _listen(port) as door:
        while not until():
            if not select.select([door], [], [], _LOOK_EVERY_S)[0]:
                continue
            caller, _ = door.accept()
            server = _connect(socket_path)
            if server is None:
                caller.close()
                continue
            carried += 1
            links = [link for link in links if link[0].fileno() >= 0]
            links.append((caller, server))
            _carry(caller, server)
    for link in links:
        _end(*link)
    return carried


def port_is_free(port: int) -> bool:
    """Say whether the forwarder could listen on 127.0.0.1:`port` now."""
    try:
        _listen(port).close()
    except Usage:
        return False
    return True


def _listen(port: int) -> socket.socket:
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((_LOOPBACK, port))
        door.listen(64)
    except (OSError, OverflowError) as error:
        door.close()
        raise Usage(
            f"Port {port} on {_LOOPBACK} cannot be used: {error}.",
            hint="Name another with --port, or leave it out: the Unix socket needs none.",
            code="port-in-use",
        ) from None
    return door


def _connect(socket_path: Path) -> socket.socket | None:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(str(socket_path))
    except OSError:
        link.close()
        return None
    return link


def _carry(caller: socket.socket, server: socket.socket) -> None:
    """Copy both ways in the background; when both directions are done, both sockets close."""
    done = threading.Semaphore(0)

    def close() -> None:
        done.acquire()
        done.acquire()
        caller.close()
        server.close()

    for source, sink in ((caller, server), (server, caller)):
        threading.Thread(target=_pump, args=(source, sink, done), name="forward", daemon=True).start()
    threading.Thread(target=close, name="forward-close", daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, done: threading.Semaphore) -> None:
    try:
        while block := source.recv(_BLOCK):
            sink.sendall(block)
    except OSError:
        pass
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
    done.release()


def _end(*links: socket.socket) -> None:
    for link in links:
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)

"""A door for people: 127.0.0.1:port leads to a restored server's Unix socket, as long as that server lives.

To the server every caller would be whoever runs this door, whom it lets in by peer authentication as the superuser: so the
door itself reads who wants in, and lets through only those who then have to show a password.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from bot.errors import Usage
from bot.postgres.startup import MAX_BYTES, Wish, read_wish, refusal

_LOOPBACK = "127.0.0.1"
_BLOCK = 64 * 1024
_LOOK_EVERY_S = 0.5
_FIRST_WORDS_S = 10.0


def forward(port: int, socket_path: Path, *, users: Collection[str], until: Callable[[], bool]) -> int:
    """Carry connections of `users` from 127.0.0.1:`port` to `socket_path` until `until()` is true; return how many there were.

    Nobody else is let through, the supervising superuser least of all. Slow: runs as long as the server does. `until` is asked
    twice a second. Open connections end with it.

    Raises:
        Usage: the port is taken.
    """
    links = _Links()
    with _listen(port) as door:
        while not until():
            if select.select([door], [], [], _LOOK_EVERY_S)[0]:
                caller, _ = door.accept()
                threading.Thread(
                    target=_let_in, args=(caller, socket_path, users, links), name="forward-door", daemon=True
                ).start()
    links.end()
    return links.carried


class _Links:
    """The connections that are open; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[tuple[socket.socket, socket.socket]] = []
        self._ended = False
        self.carried = 0

    def add(self, caller: socket.socket, server: socket.socket) -> bool:
        """Remember a connection; False when the door is closed already."""
        with self._lock:
            self._open = [link for link in self._open if link[0].fileno() >= 0]
            if not self._ended:
                self._open.append((caller, server))
                self.carried += 1
            return not self._ended

    def end(self) -> None:
        """Close all connections, and let no more in."""
        with self._lock:
            self._ended = True
            for link in self._open:
                _end(*link)


def _let_in(caller: socket.socket, socket_path: Path, users: Collection[str], links: _Links) -> None:
    """Read the caller's first words, and carry the connection if they may."""
    caller.settimeout(_FIRST_WORDS_S)
    try:
        packet = _first_words(caller, users)
    except OSError:
        packet = None
    server = _connect(socket_path) if packet else None
    if packet is None or server is None or not links.add(caller, server):
        _close(caller, server)
        return
    caller.settimeout(None)
    try:
        server.sendall(packet)
    except OSError:
        _close(caller, server)
        return
    _carry(caller, server)


def _first_words(caller: socket.socket, users: Collection[str]) -> bytes | None:
    """Return the packet to pass on, or None for callers who were turned away."""
    for _ in range(3):  # encryption of two kinds may be asked for before
        packet = _packet(caller)
        wish = read_wish(packet, users)
        if wish in {Wish.ENTRY, Wish.CANCEL}:
            return packet
        if wish is Wish.REFUSED:
            break
        caller.sendall(b"N")
    caller.sendall(refusal("this door is for the login in the dsn alone"))
    return None


def _packet(caller: socket.socket) -> bytes:
    head = _exactly(caller, 4)
    length = int.from_bytes(head, "big")
    return head + _exactly(caller, length - 4) if 8 <= length <= MAX_BYTES else head


def _exactly(caller: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        block = caller.recv(size - len(data))
        if not block:
            raise ConnectionError("the caller left")
        data += block
    return data


def _close(*links: socket.socket | None) -> None:
    for link in links:
        if link is not None:
            link.close()


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

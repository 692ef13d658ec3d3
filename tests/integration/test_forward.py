"""The door of a restored server: who gets through, who is turned away, and what happens when it closes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.errors import Usage
from bot.postgres.forward import forward, port_is_free
from tests.jobs import wait_for


@dataclass
class Door:
    """An open door and what stands behind it: a server that repeats every byte."""

    port: int
    close: threading.Event
    thread: threading.Thread
    carried: list[int]

    def knock(self, *words: bytes) -> socket.socket:
        """Connect and say `words`."""
        caller = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        for word in words:
            caller.sendall(word)
        return caller


def startup(user: bytes) -> bytes:
    """Build a StartupMessage."""
    body = b"user\0" + user + b"\0\0"
    return struct.pack("!II", len(body) + 8, 196608) + body


def listened_to(port: int) -> bool:
    """Say whether somebody listens on a port of 127.0.0.1: read from the kernel's table, as trying would take it."""
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    return any(fields[1] == f"0100007F:{port:04X}" and fields[3] == "0A" for fields in map(str.split, lines))


@pytest.fixture
def door(short_tmp: Path) -> Iterator[Door]:
    """Open a door for the login `guest`; closed afterwards."""
    path = short_tmp / "socket"
    end = threading.Event()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()
    echo = threading.Thread(target=_repeat, args=(server,), daemon=True)
    echo.start()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    carried: list[int] = []
    thread = threading.Thread(target=lambda: carried.append(forward(port, path, users=["guest"], until=end.is_set)))
    thread.start()
    wait_for(lambda: listened_to(port), what="the door")
    yield Door(port, end, thread, carried)
    end.set()
    thread.join(20)
    server.close()
    assert not thread.is_alive()


def _repeat(server: socket.socket) -> None:
    def one(link: socket.socket) -> None:
        with link:
            while block := link.recv(4096):
                link.sendall(block)

    while True:
        try:
            link, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=one, args=(link,), daemon=True).start()


def test_the_guest_gets_through(door: Door) -> None:
    """After encryption was declined the guest's own first packet, and everything after it, goes both ways untouched."""
    with door.knock(struct.pack("!II", 8, 80877103)) as guest:
        assert guest.recv(1) == b"N"
        guest.sendall(startup(b"guest") + b"and more")
        expected = startup(b"guest") + b"and more"
        received = b""
        while len(received) < len(expected):
            received += guest.recv(4096)
        assert received == expected


def test_another_login_is_turned_away(door: Door) -> None:
    """It gets one error, as libpq shows it, and the end; nothing reaches the server."""
    with door.knock(startup(b"postgres")) as caller:
        answer = b""
        while block := caller.recv(4096):
            answer += block
    assert answer.startswith(b"E")
    assert b"28000" in answer
    door.close.set()
    door.thread.join(20)
    assert door.carried == [0]


@pytest.mark.parametrize("word", [b"GET / HTTP/1.1\r\n\r\n", struct.pack("!II", 2**31, 196608), b"\0" * 8])
def test_what_is_no_postgresql_is_turned_away(door: Door, word: bytes) -> None:
    """The connection ends, and nothing of it reaches the server, which would repeat it."""
    with door.knock(word) as caller, contextlib.suppress(ConnectionResetError):
        assert word not in caller.recv(4096)
    door.close.set()
    door.thread.join(20)
    assert door.carried == [0]


def test_one_who_says_nothing_holds_nobody_up(door: Door) -> None:
    """A silent caller does not keep the next one waiting."""
    with door.knock(), door.knock(b"\0\0"), door.knock(startup(b"guest")) as guest:
        assert guest.recv(4096) == startup(b"guest")


def test_a_door_that_closes_ends_what_goes_through_it(door: Door) -> None:
    """Open connections end with the door, the port is free again, and the number of those let in is known."""
    with door.knock(startup(b"guest")) as guest:
        assert guest.recv(4096) == startup(b"guest")
        door.close.set()
        assert guest.recv(4096) == b""
    door.thread.join(20)
    assert door.carried == [1]
    assert port_is_free(door.port)


def test_a_port_that_is_taken(short_tmp: Path) -> None:
    """Said with what to do, before anything is carried."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Usage) as refused:
        forward(taken.getsockname()[1], short_tmp / "socket", users=["guest"], until=lambda: True)
    assert refused.value.reason_code == "port-in-use"
    assert "--port" in refused.value.hint

"""A server that is too old is refused before it is asked for anything. None can be installed here: its greeting is played."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.commands import pitstop
from tests.jobs import Installation, install


def message(kind: bytes, body: bytes) -> bytes:
    """Return one message of the protocol, version 3."""
    return kind + struct.pack(">I", len(body) + 4) + body


def greet(connection: socket.socket, version: str) -> None:
    """Let anybody in as a server of `version`, and answer nothing else."""
    with connection, suppress(OSError):
        size = struct.unpack(">I", connection.recv(4, socket.MSG_WAITALL))[0]
        connection.recv(size - 4, socket.MSG_WAITALL)
        said = [("server_version", version), ("server_encoding", "UTF8"), ("client_encoding", "UTF8")]
        told = b"".join(message(b"S", f"{name}\0{value}\0".encode()) for name, value in said)
        connection.sendall(message(b"R", struct.pack(">I", 0)) + told + message(b"Z", b"I"))
        while connection.recv(4096)[:1] not in {b"", b"X"}:
            connection.sendall(message(b"E", b"SFATAL\0CXX000\0Masked for something\0\0"))


@pytest.fixture(params=["13.23", "9.6.24"])
def there(request: pytest.FixtureRequest, short_tmp: Path) -> Iterator[Installation]:
    """An installation whose DSN leads to such a server."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(short_tmp / ".s.PGSQL.5432"))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=greet, args=(connection, request.param), daemon=True).start()

    thread = threading.Thread(target=serve, name="old server")
    thread.start()
    yield install(short_tmp / "pitstop", f"host={short_tmp} user=pitstop")
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_every_command_that_needs_it_says_so_and_begins_nothing(there: Installation) -> None:
    """Backup, dump, stream, mark and `check`: the version in a sentence, and the repository is not even begun."""
    for words in (("backup", "base", "slips"), ("backup", "dump", "slips"), ("mark", "slips", "before")):
        said = pitstop(*words, "--json", config=there.config_path)
        assert said.code == 2, said.out
        error = said.json["error"]
        assert error["code"] == "server-too-old", words
        assert error["message"].endswith(
            (" is 13; Pitstop works with 14 and later.", " is 9.6; Pitstop works with 14 and later.")
        )
        assert "Upgrade the server to 14 or later." in error["hint"]
    assert not (there.home / "repository").exists()
    assert pitstop("wal", "stream", "slips", config=there.config_path).code == 2
    checked = pitstop("check", "--json", config=there.config_path)
    assert checked.code == 1
    assert {point["code"] for point in checked.json["points"] if "works with 14" in point["sentence"]} == {
        "server-too-old"
    }

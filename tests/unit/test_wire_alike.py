"""Messages of a COPY read straight to their place: whatever is mixed in, and however it arrives, all bytes come once, in order."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest

from bot.postgres.wire import ConnectionEnded, WireCommand

SIZE = 500
HEAD = b"d" + (5 + SIZE).to_bytes(4, "big") + b"x"


def message(kind: bytes, content: bytes) -> bytes:
    """Return one message as the server sends it."""
    return kind + (len(content) + 4).to_bytes(4, "big") + content


@contextmanager
def command_fed_with(stream: bytes, cuts: list[int]) -> Iterator[WireCommand]:
    """Yield a command at whose other end the stream is sent, cut where it is said, and closed."""
    ours, theirs = socket.socketpair()
    command = WireCommand(ours.fileno(), lambda _: None, lambda: None)

    def send() -> None:
        with theirs, suppress(BrokenPipeError):  # of a test that has seen enough
            for start, end in pairwise([0, *sorted(cuts), len(stream)]):
                theirs.sendall(stream[start:end])

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield command
    finally:
        command.close()
        ours.close()
        sending.join(10)


def received(command: WireCommand, room: int, rng: random.Random) -> bytes:
    """Read the COPY as a backup does: batches, and after each that ends with a long message straight into a buffer."""
    found = bytearray()
    for batch in command.copy_batches():
        parts = [bytes(part) for part in batch]
        assert all(part[:1] == b"x" for part in parts)
        found += b"".join(part[1:] for part in parts)
        if len(parts[-1]) != SIZE + 1 and rng.random() < 0.7:
            continue
        buffer = memoryview(bytearray(room))
        while size := command.copy_alike(HEAD[:5] + b"x", SIZE, buffer):
            assert size % SIZE == 0
            found += buffer[:size]
    return bytes(found)


@pytest.mark.parametrize("seed", range(150))
def test_all_bytes_once_and_in_order(seed: int) -> None:
    """Long messages of one size, shorter and longer ones, notices between them, in pieces of any size; rooms of any size."""
    rng = random.Random(seed)
    stream, wanted = bytearray(), bytearray()
    for _ in range(rng.randrange(1, 120)):
        size = SIZE if rng.random() < 0.8 else rng.choice([0, 1, 5, SIZE - 1, SIZE + 1, 3 * SIZE])
        content = rng.randbytes(size)
        stream += message(b"d", b"x" + content)
        wanted += content
        if rng.random() < 0.03:
            stream += message(b"N", b"SWARNING\0Mbad page\0\0")
    stream += message(b"c", b"")
    cuts = [rng.randrange(len(stream)) for _ in range(rng.choice([0, 3, 50, 400]))]
    with command_fed_with(bytes(stream), cuts) as command:
        assert received(command, rng.choice([1, SIZE, SIZE * 3 + 7, SIZE * 40]), rng) == bytes(wanted)


def test_a_connection_that_ends_within_a_message() -> None:
    """What is there of the last message is no reason to go on."""
    stream = message(b"d", b"x" + bytes(SIZE)) * 3
    with command_fed_with(stream[:-1], []) as command, pytest.raises(ConnectionEnded):
        received(command, SIZE * 10, random.Random(1))


def test_messages_too_long_to_be_taken_back() -> None:
    """They are left to the other way."""
    with command_fed_with(b"", []) as command:
        assert command.copy_alike(HEAD, 100_000, memoryview(bytearray(1_000_000))) == 0

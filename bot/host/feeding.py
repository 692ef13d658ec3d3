"""A child that we feed: its stdin comes from us piece by piece, and it never outlives us."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from bot.errors import Unavailable

_LEASH = Path(__file__).with_name("leash.py")
_LOOK_EVERY_MS = 500
_KEPT_BYTES = 64 * 1024


def feed(
    argv: Sequence[str | bytes], pieces: Iterable[bytes], *, env: Mapping[str, str], check: Callable[[], None]
) -> tuple[int, str]:
    """Run `argv` with the pieces as its stdin; return its exit code and the beginning of what it said on stderr.

    `check` is called twice a second at least and may raise to stop; the child is killed then, and by the kernel when we die.
    Where the child ends before it took everything, the rest of the pieces is still read, so that what is wrong with them is
    found.

    Raises:
        Unavailable: it cannot be started. Whatever `pieces` or `check` raise.
    """
    command = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *argv]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            env=dict(env),
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise Unavailable(
            f"{os.fsdecode(argv[0])} cannot be started: {error.strerror}.",
            hint="Is the machine out of processes or memory?",
            code="cannot-start",
        ) from error
    said = bytearray()
    listener = threading.Thread(target=_listen, args=(process, said), name="feeding-stderr", daemon=True)
    listener.start()
    try:
        _write(process, iter(pieces), check)
        while (code := _ended(process)) is None:
            check()
    finally:
        process.kill()
        process.wait()
        listener.join()
        assert process.stderr is not None
        process.stderr.close()
        with suppress(OSError):
            _stdin(process).close()
    return code, bytes(said).decode("utf-8", "replace")


def _write(process: subprocess.Popen[bytes], pieces: Iterator[bytes], check: Callable[[], None]) -> None:
    fd = _stdin(process).fileno()
    os.set_blocking(fd, False)
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    taking = True
    for piece in pieces:
        left = memoryview(piece)
        while taking and left:
            check()
            if not poll.poll(_LOOK_EVERY_MS):
                continue
            try:
                left = left[os.write(fd, left) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                taking = False
        check()
    with suppress(BrokenPipeError):
        _stdin(process).close()


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_LOOK_EVERY_MS / 1000)
    except subprocess.TimeoutExpired:
        return None


def _listen(process: subprocess.Popen[bytes], said: bytearray) -> None:
    assert process.stderr is not None
    while data := process.stderr.read(65536):
        said += data[: _KEPT_BYTES - len(said)]


def _stdin(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin

"""A child whose output we read or whose input we write, and that never outlives us."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bot.errors import Unavailable

_LEASH = Path(__file__).with_name("leash.py")
_PIPE_BYTES = 1024 * 1024
_KEPT_BYTES = 32 * 1024
"""Of stderr, from its beginning and from its end."""


class Child:
    """A running program: stdout read piece by piece, stderr kept. As a context manager it is killed at the end.

    Its stdin is empty, or with `fed` what is written to it until `end_input`.

    The kernel kills it when the thread that started it ends, also by `kill -9` of the whole process.
    """

    def __init__(
        self, argv: Sequence[str | bytes], *, env: Mapping[str, str], fed: bool = False, files: Sequence[int] = ()
    ) -> None:
        """Start `argv`, cwd `/`, with the environment `env` alone; of our open files it inherits `files`.

        Raises:
            Unavailable: it cannot be started.
        """
        command = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *argv]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=dict(env),
                close_fds=True,
                pass_fds=files,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise Unavailable(
                f"{os.fsdecode(argv[0])} cannot be started: {error.strerror}.",
                hint="Is the machine out of processes or memory?",
                code="cannot-start",
            ) from error
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        with contextlib.suppress(OSError):  # a small pipe is only slower
            fcntl.fcntl(self._out, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._in = -1
        if self._process.stdin is not None:
            self._in = self._process.stdin.fileno()
            os.set_blocking(self._in, False)
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._buffer = bytearray(_PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._said = _Kept()
        self._listener = threading.Thread(target=self._listen, name="child-stderr", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    def read(self, timeout_s: float) -> memoryview | None:
        """Return the next bytes of stdout, valid until the next call; None when none came in time; empty at its end."""
        if not self._poll.poll(timeout_s * 1000):
            return None
        size = os.readv(self._out, [self._buffer])
        return memoryview(self._buffer)[:size]

    def write(self, data: memoryview, timeout_s: float) -> int | None:
        """Write to stdin what it takes within `timeout_s` seconds; return how many bytes, or None when it takes no more."""
        room = select.poll()
        room.register(self._in, select.POLLOUT)
        if not room.poll(timeout_s * 1000):
            return 0
        try:
            return os.write(self._in, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            return None

    def end_input(self) -> None:
        """Close stdin. Idempotent."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def ended(self, timeout_s: float) -> bool:
        """Wait up to `timeout_s` seconds for the end; say whether it came. Its stdout has to be read, or stay empty."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def wait(self) -> tuple[int, str]:
        """Wait for the end; return the exit code (negative: the signal that killed it) and what it said on stderr."""
        code = self._process.wait()
        self._listener.join()
        return code, self._said.text()

    def kill(self) -> None:
        """End it at once. Idempotent."""
        self._process.kill()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self.end_input()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdout.close()
        self._process.stderr.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        while data := self._process.stderr.read(65536):
            self._said.add(data)


class _Kept:
    """The beginning and the end of a text, however long it is."""

    def __init__(self) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._cut = False

    def add(self, data: bytes) -> None:
        room = _KEPT_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > _KEPT_BYTES:
            del self._tail[:-_KEPT_BYTES]
            self._cut = True

    def text(self) -> str:
        return (bytes(self._head) + (b"\n[...]\n" if self._cut else b"") + bytes(self._tail)).decode("utf-8", "replace")

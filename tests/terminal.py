"""A command line on a terminal: what it shows there, and what keys do."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.commands import PITSTOP

CTRL_C = b"\x03"


@dataclass
class Terminal:
    """The screen's bytes so far in `shown`, and the process on it."""

    process: subprocess.Popen[bytes]
    master: int
    shown: bytes = b""

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self.master, keys)

    def wait_for(self, text: bytes, timeout_s: float = 60) -> None:
        """Read until `text` was shown.

        Raises:
            AssertionError: it was not within `timeout_s`, or the program ended first.
        """
        deadline = time.monotonic() + timeout_s
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown: {self.shown!r}"
            assert self._read(), f"it ended before {text!r} was shown: {self.shown!r}"

    def end(self, timeout_s: float = 120) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + timeout_s
        while self._read():
            assert time.monotonic() < deadline, f"it did not end: {self.shown!r}"
        return self.process.wait(timeout_s)

    def _read(self) -> bool:
        if not select.select([self.master], [], [], 1)[0]:
            return True
        try:
            block = os.read(self.master, 65536)
        except OSError:  # Linux says so when the last process left the terminal
            return False
        self.shown += block
        return bool(block)


@contextmanager
def on_terminal(*words: str, config: Path) -> Iterator[Terminal]:
    """Run one command line on a terminal of its own, of which it is the foreground; ended with the block."""
    master, slave = pty.openpty()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SLACK_", "SUDO_"))}
    process = subprocess.Popen(
        ["setsid", "--ctty", *PITSTOP, "--config", str(config), *words],
        stdin=slave, stdout=slave, stderr=slave, cwd="/",
        env={**env, "TERM": "xterm-256color", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)

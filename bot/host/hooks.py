"""Programs people name in the configuration: run without a shell, within a time limit, with the end of what they said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.host.tails import tail_bytes

_LEASH = Path(__file__).with_name("leash.py")
_POLL_S = 0.05
_MOST_BYTES = 16 * 1024 * 1024
SHOWN_BYTES = 2000
"""Of a program's output, from its end."""


@dataclass(frozen=True, slots=True)
class HookRun:
    """What came of one program: `trouble` is a sentence, or empty where it exited 0; `output` the end of what it said."""

    command: tuple[str, ...]
    seconds: float
    trouble: str
    output: str

    @property
    def ok(self) -> bool:
        """Whether it exited 0 in time."""
        return not self.trouble


def cannot_run(command: Sequence[str]) -> str:
    """Return why this account cannot run a command's program, or the empty string; nothing is run."""
    program = Path(command[0])
    if not program.exists():
        return f"{program} is not there"
    if not program.is_file():
        return f"{program} is no file"
    return "" if os.access(program, os.X_OK) else f"{program} may not be executed"


def run_hook(
    command: Sequence[str],
    *,
    limit_s: float,
    log: Path,
    env: Mapping[str, str],
    cancelled: Callable[[], bool] = lambda: False,
) -> HookRun:
    """Run `command`, whose program is named with its whole path, and say how it ended.

    Its cwd is `/`, its stdin empty, its output appended to `log` (0600). One that is still there after `limit_s` seconds, or
    when `cancelled`, is killed with everything it started. It does not outlive us either; what a finished program left running
    does.
    """
    began = time.monotonic()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    start = os.fstat(descriptor).st_size
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd="/",
            env=dict(env),
            close_fds=True,
            start_new_session=True,
        )
    except OSError as error:
        return HookRun(tuple(command), 0.0, f"It could not be started: {error.strerror}.", "")
    finally:
        os.close(descriptor)
    trouble = _wait(process, began + limit_s, log, start, cancelled)
    output = tail_bytes(log, SHOWN_BYTES, since=start)
    return HookRun(tuple(command), time.monotonic() - began, trouble or _verdict(process.returncode), output)


def _wait(
    process: subprocess.Popen[bytes], deadline: float, log: Path, start: int, cancelled: Callable[[], bool]
) -> str:
    """Wait for the end; return why it had to be killed, or the empty string."""
    while process.poll() is None:
        why = ""
        if time.monotonic() > deadline:
            why = "It did not end in time and was killed."
        elif cancelled():
            why = "It was stopped because this run was."
        elif log.stat().st_size - start > _MOST_BYTES:
            why = "It wrote more than 16 MiB and was killed."
        if why:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return why
        time.sleep(_POLL_S)
    return ""


def _verdict(code: int) -> str:
    if code == 0:
        return ""
    if code < 0:
        return f"It was killed by {signal.Signals(-code).name}."
    return f"It ended with exit code {code}."

"""What a process costs: CPU of itself and its children, and the most memory it ever held; read from /proc."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.host.accounts import Account

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU seconds, and resident bytes at their peak.

    Attributes:
        cpu_s: the process, its children, and the server they worked with.
        peak_bytes: the sum of each process's own peak (VmHWM), which is at least the peak of the sum.
    """

    wall_s: float
    cpu_s: float
    server_cpu_s: float
    peak_bytes: int


class CommandFailed(Exception):
    """A measured command did not succeed; carries the end of what it said."""


def measured(
    argv: Sequence[str | Path],
    *,
    log: Path,
    server: int | None = None,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 600,
) -> Cost:
    """Run a command to its end and return what it cost, with the CPU of the server whose postmaster is `server`.

    Raises:
        CommandFailed: it did not succeed in time.
    """
    other = account if account is not None and not account.is_current else None
    before = server_cpu(server) if server else 0.0
    with log.open("ab") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in argv], cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            user=other.uid if other else None, group=other.gid if other else None, extra_groups=[] if other else None,
        )  # fmt: skip
    watch = _Peaks(process.pid)
    watch.start()
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        # The benchmark itself was asked to end: what it measures must not go on.
        process.kill()
        process.wait()
        raise
    finally:
        timer.cancel()
        watch.end()
    if process.returncode != 0:
        raise CommandFailed(f"{argv[0]} ended with {process.returncode}:\n{_tail(log)}")
    used = usage.ru_utime + usage.ru_stime
    server_used = settled_server_cpu(server) - before if server else 0.0
    return Cost(wall_s, used + server_used, server_used, watch.total)


class _Peaks(threading.Thread):
    """Follows a process and its children, and remembers each one's VmHWM, the kernel's own record of its peak."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="peaks", daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self._peaks: dict[int, int] = {}

    @property
    def total(self) -> int:
        """The sum of all peaks, in bytes."""
        return sum(self._peaks.values())

    def run(self) -> None:
        """Look twenty times a second; a peak stands in the record however short it was, so long as its process lives."""
        while not self._over.wait(_EVERY_S):
            for pid in tree(self._pid):
                self._peaks[pid] = max(self._peaks.get(pid, 0), peak_bytes(pid))

    def end(self) -> None:
        """Stop looking."""
        self._over.set()
        self.join()


def peak_bytes(pid: int) -> int:
    """Return a process's peak of resident memory (VmHWM); 0 for one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found, at = [pid], 0
    while at < len(found):
        found += _children(found[at])
        at += 1
    return found


def server_cpu(postmaster: int) -> float:
    """Return the CPU seconds a server used so far: living processes, and those it reaped."""
    return sum(_cpu(pid, reaped=True) for pid in tree(postmaster))


def settled_server_cpu(postmaster: int, calm_s: float = 0.3) -> float:
    """Return `server_cpu` after the backends that just ended had a moment to be reaped."""
    time.sleep(calm_s)
    return server_cpu(postmaster)


def _cpu(pid: int, *, reaped: bool) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11 : 15 if reaped else 13]) / _TICKS


def _children(pid: int) -> list[int]:
    children = []
    try:
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
        for task in tasks:
            children += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return children
    return children


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-lines:])

"""What a process costs: CPU of itself and its children, and the most memory it ever held; read from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
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


class Running:
    """A measured command under way, in a process group of its own; as a context manager it is killed at the end."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        account: Account | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        other = account if account is not None and not account.is_current else None
        self._argv = [str(part) for part in argv]
        self._log = log
        with log.open("ab") as output:
            self.began = time.monotonic()
            self._process = subprocess.Popen(
                self._argv, cwd="/", env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                user=other.uid if other else None, group=other.gid if other else None, extra_groups=[] if other else None,
                start_new_session=True,
            )  # fmt: skip
        self._watch = _Peaks(self._process.pid)
        self._watch.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def peak_bytes(self) -> int:
        """The sum of its processes' peaks so far."""
        return self._watch.total

    def alive(self) -> bool:
        """Say whether it still runs; asks without reaping, so that `wait` learns what it used."""
        done = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return done is None

    def wait(self, timeout_s: float, *, ended_by: int = 0) -> float:
        """Wait for its end and return the CPU seconds that it and its children used; `ended_by` is a signal it may die of.

        Raises:
            CommandFailed: it did not succeed, or not in time.
        """
        timer = threading.Timer(timeout_s, self._kill)
        timer.start()
        try:
            _, status, usage = os.wait4(self.pid, 0)
        finally:
            timer.cancel()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._watch.end()
        if self._process.returncode not in {0, -ended_by}:
            raise CommandFailed(f"{self._argv[0]} ended with {self._process.returncode}:\n{_tail(self._log)}")
        return usage.ru_utime + usage.ru_stime

    def end(self, timeout_s: float = 60) -> float:
        """Ask it to end (SIGTERM), and return the CPU seconds it used."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait(timeout_s, ended_by=signal.SIGTERM)

    def interrupt(self, timeout_s: float = 60) -> float:
        """Press Ctrl-C on it and its children, and return the CPU seconds they used."""
        os.killpg(self.pid, signal.SIGINT)
        return self.wait(timeout_s, ended_by=signal.SIGINT)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it with all its children, if it still runs: whoever measured it was asked to end."""
        if self._process.returncode is None:
            self._kill()
            self._process.wait()
        self._watch.end()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def measured(
    argv: Sequence[str | Path],
    *,
    log: Path,
    server: int | None = None,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 900,
) -> Cost:
    """Run a command to its end and return what it cost, with the CPU of the server whose postmaster is `server`.

    Raises:
        CommandFailed: it did not succeed in time.
    """
    before = server_cpu(server) if server else 0.0
    with Running(argv, log=log, account=account, env=env) as running:
        used = running.wait(timeout_s)
        wall_s = time.monotonic() - running.began
    server_used = settled_server_cpu(server) - before if server else 0.0
    return Cost(wall_s, used + server_used, server_used, running.peak_bytes)


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
                if pid == self._pid or not _is_a_fork(pid):
                    self._peaks[pid] = max(self._peaks.get(pid, 0), peak_bytes(pid))

    def end(self) -> None:
        """Stop looking. Idempotent."""
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
        found += children(found[at])
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


def _is_a_fork(pid: int) -> bool:
    """Say whether a process still is what its parent is, about to become something else: its memory is its parent's."""
    try:
        parent = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[1]
        return Path(f"/proc/{pid}/cmdline").read_bytes() == Path(f"/proc/{parent}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


def children(pid: int) -> list[int]:
    """Return the processes that `pid` is the parent of; none for one that is gone."""
    found: list[int] = []
    try:
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
        for task in tasks:
            found += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def name_of(pid: int) -> str:
    """Return a process's short name; "" for one that is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-lines:])

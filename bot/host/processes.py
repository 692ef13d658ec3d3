"""Processes: started so that they outlive us, named so that a recycled pid is never hit."""

from __future__ import annotations

import contextlib
import os
import select
import signal as signals
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import Unavailable
from bot.host.accounts import Account


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, for ever: `start_time` is in clock ticks since the boot that `boot_id` names."""

    pid: int
    boot_id: str
    start_time: int

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {"pid": self.pid, "boot_id": self.boot_id, "start_time": self.start_time}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProcessIdentity:
        """Read what `as_json` wrote."""
        return cls(data["pid"], data["boot_id"], data["start_time"])


def boot_id() -> str:
    """Return the kernel's random name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def identity(pid: int) -> ProcessIdentity:
    """Name the process that has `pid` now.

    Raises:
        ProcessLookupError: there is none.
    """
    return ProcessIdentity(pid, boot_id(), int(_stat(pid)[19]))


def alive(process: ProcessIdentity) -> bool:
    """Say whether that very process still runs; one that ended but was not reaped does not."""
    try:
        fields = _stat(process.pid)
    except ProcessLookupError:
        return False
    return fields[0] not in {"Z", "X"} and int(fields[19]) == process.start_time and boot_id() == process.boot_id


def signal(process: ProcessIdentity, signum: int) -> bool:
    """Send `signum` to that very process; return False when it is gone, also when its pid was given to another.

    Raises:
        PermissionError: it belongs to somebody else.
    """
    with _opened(process) as fd:
        if fd is None:
            return False
        try:
            signals.pidfd_send_signal(fd, signum)
        except ProcessLookupError:
            return False
        return True


def wait_gone(process: ProcessIdentity, timeout_s: float) -> bool:
    """Wait until that process has ended; return False when it still runs after `timeout_s` seconds."""
    with _opened(process) as fd:
        if fd is None:
            return True
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))


def working_in(folder: Path) -> list[int]:
    """Return the pids whose working directory is `folder`, in whatever namespace; those we may not look at are left out."""
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return []
    return [pid for pid in pids() if _is_in(Path(f"/proc/{pid}/cwd"), wanted)]


def pids() -> list[int]:
    """Return the pids of all processes there are now."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: Account | None = None,
    new_session: bool = True,
) -> ProcessIdentity:
    """Start `argv` as a process of its own: cwd `/`, no inherited files, stdin empty, output appended to `log` (0600).

    With `user` (as root) it gets that account's ids and groups. It outlives this process; while this process lives, it
    is reaped as soon as it ends. `env` None inherits ours.

    Raises:
        Unavailable: the program or the log cannot be opened.
    """
    identifiers: dict[str, Any] = {}
    if user is not None and not user.is_current:
        identifiers = {"user": user.uid, "group": user.gid, "extra_groups": list(user.groups)}
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=None if env is None else dict(env),
                close_fds=True,
                start_new_session=new_session,
                **identifiers,
            )
        finally:
            os.close(output)
    except OSError as error:
        raise Unavailable(
            f"{argv[0]} cannot be started: {error.strerror}.",
            hint=f"Does it exist, may it be run, and can {log} be written?",
            code="cannot-start",
        ) from error
    started = identity(process.pid)
    threading.Thread(target=process.wait, name=f"reap-{process.pid}", daemon=True).start()
    return started


def _is_in(link: Path, wanted: os.stat_result) -> bool:
    try:
        here = link.stat()
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (wanted.st_dev, wanted.st_ino)


@contextlib.contextmanager
def _opened(process: ProcessIdentity) -> Iterator[int | None]:
    """Yield a pidfd of exactly that process, or None; the comparison comes after opening, when the pid is pinned."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield fd if alive(process) else None
    finally:
        os.close(fd)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the state on (the name before them may contain anything)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"no process {pid}") from None
    return text.rpartition(")")[2].split()

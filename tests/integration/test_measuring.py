"""What a benchmark's figures are made of: a command's processes, their CPU and memory, and that none is left running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks.measuring import CommandFailed, Running, children, measured, name_of
from tests.benchmarks.orphans import adopting, reaped


def test_a_command_costs_what_it_uses(tmp_path: Path) -> None:
    """The CPU of a command's children is its own, and its peak is the kernel's record."""
    busy = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(40 << 20); sum(range(9_000_000))'])"
    cost = measured([sys.executable, "-c", busy], log=tmp_path / "log")
    assert cost.cpu_s > 0.05
    assert cost.peak_bytes > 40 << 20
    assert cost.server_cpu_s == 0


def test_memory_is_not_counted_twice_between_fork_and_exec(tmp_path: Path) -> None:
    """A child that has not become its program yet shares its parent's memory."""
    forks = "import os, time; x = bytearray(60 << 20); pid = os.fork(); time.sleep(0.5); pid and os.waitpid(pid, 0)"
    cost = measured([sys.executable, "-c", forks], log=tmp_path / "log")
    assert 60 << 20 < cost.peak_bytes < 110 << 20


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    """A figure never comes from a command that did not do its work."""
    with pytest.raises(CommandFailed, match=r"ended with 3:\nno such stanza"):
        measured(["sh", "-c", "echo no such stanza; exit 3"], log=tmp_path / "log")


def test_who_is_interrupted_leaves_no_command_running(tmp_path: Path) -> None:
    """At Ctrl-C the measured command goes with all its children."""
    with pytest.raises(KeyboardInterrupt), Running(["sh", "-c", "sleep 60 & wait"], log=tmp_path / "log") as running:
        while len(group := [running.pid, *children(running.pid)]) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in group):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_command_leaves_running_is_ours() -> None:
    """A daemon that a peer leaves behind counts, and is gone at the end: it was adopted."""
    leave = "sleep 60 & sleep 60 & exit 0"
    with adopting():
        subprocess.run(["sh", "-c", leave], check=True)
        deadline = time.monotonic() + 10
        while len(left := [pid for pid in children(os.getpid()) if name_of(pid) == "sleep"]) < 2:
            assert time.monotonic() < deadline
        assert reaped("sleep", 0.5) >= 0
        assert not any(_runs(pid) for pid in left)
        subprocess.run(["sh", "-c", leave], check=True)
    assert not [pid for pid in children(os.getpid()) if name_of(pid) == "sleep"]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False

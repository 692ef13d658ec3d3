"""An orderly end: the bot, the servers beside, and the jobs that outlive it, each by its recorded identity."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from bot.config import Config
from bot.host import processes
from bot.host.processes import ProcessIdentity
from bot.ledger import Ledger

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_bot(bot: subprocess.Popen[bytes], timeout_s: float = 20) -> None:
    """Ask the bot to end, and end it if it does not; one that ended already is fine."""
    if bot.poll() is None:
        bot.send_signal(signal.SIGTERM)
        try:
            bot.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            bot.kill()
            bot.wait()


def end_runs(config: Config, config_path: Path) -> None:
    """Remove the servers that were started beside, and end every job that still runs. To be called when no bot leads."""
    if not config.ledger.exists():
        return
    argv = [sys.executable, "-I", "-m", "bot", "--config", str(config_path), "server", "remove"]
    for server in _column(config, "SELECT id AS found FROM servers WHERE state <> 'removed'"):
        subprocess.run([*argv, server], cwd="/", capture_output=True, check=False, timeout=120)
    running = _column(config, "SELECT process AS found FROM runs WHERE state = 'running' AND process IS NOT NULL")
    identities = [ProcessIdentity.from_json(json.loads(process)) for process in running]
    for process in identities:
        processes.signal(process, signal.SIGTERM)
    for process in identities:
        if not processes.wait_gone(process, 20):
            processes.signal(process, signal.SIGKILL)
            processes.wait_gone(process, 5)


def _column(config: Config, sql: str) -> list[Any]:
    with Ledger(config.ledger).read() as tx:
        return [row["found"] for row in tx.query(sql)]


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal end the block by KeyboardInterrupt, once: a second one must not spoil the clean-up.

    Signals are a matter of the main thread; elsewhere nothing is changed.
    """
    if current_thread() is not main_thread():
        yield
        return
    before = {signum: signal.signal(signum, _interrupt) for signum in _ENDINGS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def be_deaf() -> None:
    """Ignore what would interrupt a clean-up, from now on until `interrupted_once` is left."""
    if current_thread() is main_thread():
        for signum in _ENDINGS:
            signal.signal(signum, signal.SIG_IGN)


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    be_deaf()
    raise KeyboardInterrupt

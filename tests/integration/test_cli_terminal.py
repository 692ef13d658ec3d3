"""Waiting for a job: bars on a terminal, lines elsewhere, Ctrl-C, and who does the work when a bot leads."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.host.locks import is_locked
from bot.host.processes import ProcessIdentity, wait_gone
from bot.host.processes import signal as send
from bot.ledger import runs
from bot.model.runs import Job, Run, RunState
from bot.process.leader import leads
from bot.process.place import Place, lock_path
from tests.commands import PITSTOP, pitstop
from tests.jobs import CLUSTER, Installation, install, wait_for
from tests.servers import PlainServerFactory
from tests.terminal import CTRL_C, on_terminal

pytestmark = pytest.mark.pg


@pytest.fixture
def here(plain_server: PlainServerFactory, tmp_path: Path) -> Installation:
    """An installation beside a fresh PostgreSQL 16."""
    here = install(tmp_path / "pitstop", plain_server(16))
    assert pitstop("keys", "init", config=here.config_path).code == 0
    return here


def latest(here: Installation) -> Run | None:
    """The newest base backup's run."""
    with here.ledger.read() as tx:
        found = runs.recent(tx, cluster=CLUSTER, jobs=(Job.BASE_BACKUP,), limit=1)
    return found[0] if found else None


def state(here: Installation) -> RunState | None:
    """The state of that run."""
    run = latest(here)
    return run.state if run else None


def test_bars_on_a_terminal_and_lines_elsewhere(here: Installation) -> None:
    """A terminal sees a bar with bytes and time; a log file a line per phase on stderr; the answer is the same sentence."""
    with on_terminal("backup", "base", "slips", config=here.config_path) as terminal:
        assert terminal.end() == 0
    assert "━".encode() in terminal.shown
    assert b"copy" in terminal.shown
    assert b"stored, in" in terminal.shown
    assert b"\x1b[?25h" in terminal.shown, "the cursor was not given back"
    plain = pitstop("backup", "base", "slips", config=here.config_path)
    assert plain.code == 0
    assert "copy …" in plain.err.splitlines()
    assert "\x1b" not in plain.err + plain.out
    assert plain.out.count("\n") == 1


def test_ctrl_c_stops_a_backup_nobody_else_looks_after(here: Installation) -> None:
    """Without a bot Ctrl-C ends the job, waits for it and says so; no half backup is visible, no process is left."""
    text = here.config_path.read_text()
    here.config_path.write_text(text + "max_rate_kib = 256\n")
    with on_terminal("backup", "base", "slips", config=here.config_path) as terminal:
        terminal.wait_for(b"copy")
        terminal.press(CTRL_C)
        terminal.wait_for(b"Asked it to stop")
        assert terminal.end() == 1
    assert b"stopped before its end" in terminal.shown
    assert b"Traceback" not in terminal.shown
    run = latest(here)
    assert run is not None
    assert run.state is RunState.CANCELLED
    assert not is_locked(lock_path(here.config, run.id))
    here.config_path.write_text(text)
    assert pitstop("list", "slips", "--json", config=here.config_path).json["backups"] == []


def test_where_a_bot_leads_it_does_the_work(here: Installation) -> None:
    """The command only queues and follows: while the bot is held up nothing starts; Ctrl-C leaves the run to the bot."""
    with bot_running(here) as bot:
        assert pitstop("healthcheck", config=here.config_path).code == 0
        os.kill(bot.pid, signal.SIGSTOP)
        try:
            with on_terminal("backup", "base", "slips", config=here.config_path) as terminal:
                wait_for(lambda: state(here) is RunState.QUEUED, what="the queued run")
                time.sleep(1)
                assert state(here) is RunState.QUEUED, "the command started it, although a bot leads"
                terminal.press(CTRL_C)
                assert terminal.end() == 130
            assert b"goes on" in terminal.shown
        finally:
            os.kill(bot.pid, signal.SIGCONT)
        wait_for(lambda: state(here) is RunState.SUCCEEDED, timeout_s=60, what="the backup")
        assert pitstop("backup", "base", "slips", "--json", config=here.config_path).code == 0
        assert pitstop("status", "--json", config=here.config_path).json["leader"] is True


@contextmanager
def bot_running(here: Installation) -> Iterator[subprocess.Popen[bytes]]:
    """Run the bot while the block lasts, and end its receiver too, which would outlive it."""
    with (here.home / "bot.log").open("wb") as log:
        bot = subprocess.Popen([*PITSTOP, "--config", str(here.config_path), "run"], stdout=log, stderr=log, cwd="/")
    place = Place(here.config, here.config_path, here.ledger)
    try:
        wait_for(lambda: leads(place.leader_lock), timeout_s=60, what="leading")
        yield bot
    finally:
        bot.terminate()
        bot.wait(60)
        _end_receiver(here)


def _end_receiver(here: Installation) -> None:
    with here.ledger.read() as tx:
        known = [runs.process(tx, run.id) for run in runs.unfinished(tx)]
    for process in [ProcessIdentity.from_json(found) for found in known if found]:
        send(process, signal.SIGTERM)
        assert wait_gone(process, 60)

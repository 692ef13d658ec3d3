"""What runs around a swap on this machine: hooks, the health page, the end of a log, and whether jobs outlive the bot."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bot.host import processes
from bot.host.health import wait_until_healthy
from bot.host.hooks import SHOWN_BYTES, run_hook
from bot.host.residence import outlive
from bot.host.tails import tail_bytes

ENV = {"PATH": "/usr/bin:/bin"}


def test_a_hook_says_how_it_ended_and_its_last_words(tmp_path: Path) -> None:
    """Exit codes, output on both streams, its end where it is long, and no shell between."""
    log = tmp_path / "hooks.log"
    fine = run_hook(["/bin/sh", "-c", "echo stopped; echo warned >&2"], limit_s=20, log=log, env=ENV)
    assert fine.ok
    assert fine.output.split() == ["stopped", "warned"]
    failed = run_hook(["/bin/sh", "-c", "seq 1 20000; exit 3"], limit_s=20, log=log, env=ENV)
    assert (failed.ok, failed.trouble) == (False, "It ended with exit code 3.")
    assert failed.output.endswith("20000")
    assert len(failed.output) <= SHOWN_BYTES
    plain = run_hook(["/bin/echo", "$PATH; false", "*"], limit_s=20, log=log, env=ENV)
    assert plain.output == "$PATH; false *"
    missing = run_hook([str(tmp_path / "nothing")], limit_s=20, log=log, env=ENV)
    assert not missing.ok
    assert "No such file" in missing.output
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_hook_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """The time limit ends the program and its children; a program that ended well leaves running what it started."""
    pids = tmp_path / "pids"
    hung = run_hook(["/bin/sh", "-c", f"sleep 600 & echo $! > {pids}; wait"], limit_s=1, log=tmp_path / "log", env=ENV)
    assert hung.trouble == "It did not end in time and was killed."
    gone = int(pids.read_text())
    _until(lambda: not _runs(gone))
    begun = run_hook(["/bin/sh", "-c", f"sleep 600 & echo $! > {pids}"], limit_s=20, log=tmp_path / "log", env=ENV)
    left = processes.identity(int(pids.read_text()))
    try:
        assert begun.ok
        assert processes.alive(left)
    finally:
        processes.signal(left, 9)


def test_a_hook_does_not_outlive_who_runs_it(tmp_path: Path) -> None:
    """`kill -9` of the executor ends the hook it was waiting for, so that the one who resumes does not run beside it."""
    pid = tmp_path / "pid"
    code = (
        "import sys; from pathlib import Path; from bot.host.hooks import run_hook\n"
        "run_hook(['/bin/sh', '-c', 'echo $$ > ' + sys.argv[1] + '; exec sleep 600'], limit_s=600, log=Path(sys.argv[2]), env={})"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(pid), str(tmp_path / "log")])
    try:
        _until(lambda: pid.exists() and pid.read_text().strip() != "")
    finally:
        process.kill()
        process.wait()
    _until(lambda: not _runs(int(pid.read_text())))


@contextmanager
def page(statuses: list[int]) -> Iterator[str]:
    """Serve a page that answers with each status once, then with the last for ever; a redirect leads to a page that is well."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = 200 if self.path == "/well" else statuses.pop(0) if len(statuses) > 1 else statuses[0]
            self.send_response(status)
            self.send_header("Location", "/well")
            self.end_headers()
            self.wfile.write(b"said " + str(status).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/health"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_health_page_is_asked_until_it_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 twice, then 200: healthy at the third try; an environment's proxy is not asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with page([503, 503, 200]) as url:
        health = wait_until_healthy(url, limit_s=60, wait=_sleep)
    assert (health.ok, health.status, health.tries, health.said) == (True, 200, 3, "said 200")


@pytest.mark.parametrize(("statuses", "status"), [([500], 500), ([302], 302), ([404], 404)])
def test_a_health_page_that_is_not_well_says_so(statuses: list[int], status: int) -> None:
    """No 2xx within the limit is not healthy; a redirect to a page that is well does not count."""
    with page(statuses) as url:
        health = wait_until_healthy(url, limit_s=0.4, wait=_sleep)
    assert (health.ok, health.status, health.said) == (False, status, f"said {status}")


def test_a_page_nobody_serves_is_not_well() -> None:
    """No answer is not healthy, and why is said."""
    health = wait_until_healthy("http://127.0.0.1:9/", limit_s=0.2, wait=_sleep)
    assert (health.ok, health.status) == (False, None)
    assert "refused" in health.said


def test_the_tail_of_a_log_is_whole_lines_of_a_regular_file(tmp_path: Path) -> None:
    """Cut at a line, nothing but files, whatever bytes are in it."""
    log = tmp_path / "app.log"
    log.write_bytes(b"first line\nsecond \xff line\nlast\n")
    assert tail_bytes(log, 15) == "last"
    assert tail_bytes(log, 1000) == "first line\nsecond \ufffd line\nlast"
    assert tail_bytes(log, 1000, since=11).startswith("second")
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        with pytest.raises(OSError):
            tail_bytes(other, 10)


@pytest.mark.parametrize(
    ("first", "children", "lives"),
    [
        (["/lib/systemd/systemd"], [["/opt/pitstop/bin/python", "/opt/pitstop/bin/pitstop", "run"]], True),
        (["/sbin/init"], [], True),
        (["tini", "--", "pitstop", "run"], [], False),
        (["/usr/bin/tini"], [["/opt/pitstop/bin/python", "/opt/pitstop/bin/pitstop", "run"]], False),
        (["/sbin/docker-init"], [["python", "-I", "-m", "bot", "run"]], False),
        (["/opt/pitstop/bin/python", "/opt/pitstop/bin/pitstop", "run"], [], False),
        (["tini", "--", "sleep", "infinity"], [["sleep", "infinity"], ["python", "-I", "-m", "bot", "job", "x"]], True),
        ([], [], True),
    ],
)
def test_where_jobs_end_with_the_bot(first: list[str], children: list[list[str]], lives: bool) -> None:
    """In the image, where tini runs the bot, a restart ends jobs; under systemd it does not; a guess is never made."""
    assert outlive(first, children) is lives


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _runs(pid: int) -> bool:
    try:
        return processes.alive(processes.identity(pid))
    except ProcessLookupError:
        return False


def _until(holds: object, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    assert callable(holds)
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)

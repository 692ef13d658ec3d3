"""The cheapest benchmark from beginning to end, and interrupted: what it prints, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.measuring import tree
from tests.servers import binaries_or_skip

pytestmark = pytest.mark.pg
_ARGV = [sys.executable, "-m", "tests.benchmarks", "dump", "--size", "4", "--runs", "1"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A temporary folder of its own that a server's account may enter."""
    binaries_or_skip(15)
    folder = Path(tempfile.mkdtemp(prefix="ps-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_the_cheapest_from_beginning_to_end(place: Path) -> None:
    """It measures every side as often as it was told to, says on what machine, and leaves no file behind."""
    done = subprocess.run(
        [*_ARGV, "--json"], env=_within(place), capture_output=True, text=True, check=False, timeout=200
    )
    [report] = json.loads(done.stdout)
    assert done.returncode == (0 if report["kept"] else 1), done.stderr
    sides = report["measured"]["sides"]
    assert [*sides] == ["Pitstop", "pg_dump -Fc", "pg_dump -Fd -j2", "pg_dump -Fc -Z0, thrown away"]
    assert {side["wall_s"]["runs"] for side in sides.values()} == {1}
    assert "PostgreSQL 15." in report["machine"]
    assert list(place.iterdir()) == []


def test_interrupted_it_leaves_nothing(place: Path) -> None:
    """At Ctrl-C its servers stop, its commands end, and its folder goes."""
    with subprocess.Popen(_ARGV, env=_within(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as bench:
        deadline = time.monotonic() + 100
        while not list(place.glob("pitstop-bench-*/4mb/commands.log")):
            assert bench.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        everything = tree(bench.pid)
        bench.send_signal(signal.SIGINT)
        bench.communicate(timeout=60)
    assert bench.returncode != 0
    assert [pid for pid in everything if Path(f"/proc/{pid}").exists()] == []
    assert list(place.iterdir()) == []


def _within(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}

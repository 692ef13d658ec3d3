"""`pitstop keys rotate` killed as a process: before each thing it does to files or ledger the kernel ends it with SIGKILL."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.ledger import audit, data_keys
from bot.model.ids import BackupId
from bot.repository.examine import examine
from bot.repository.keys.file import create_key_file
from tests.commands import Typed
from tests.integration.test_key_rotation import AWAY, reconfigured
from tests.jobs import Installation, install
from tests.unit.repository.sample import FIRST, SECOND, sample_cluster, segment, write_backup

LATER = BackupId("20261123T020000Z-base-0c0c")
SOME = 7
"""How many of the moments are tried, evenly spread; `--full` tries each."""

MORTAL = """
import os, signal, sys
at, passed = int(sys.argv[1]), 0
from bot.cli import run

CHANGES = {"os.link", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "sqlite3.connect"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def hook(event, args):
    global passed
    if event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITES):
        if passed == at:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

sys.addaudithook(hook)
code = run(sys.argv[2:])
print(passed)
raise SystemExit(code)
"""
"""The command line in a process that is killed just before its change number `at`; else it prints how many there were."""


@pytest.fixture
def here(tmp_path: Path, typed: Typed) -> Installation:
    """Two backups and WAL under one data key that was made by `key` and by a second key, which a third one has replaced: a rotation
    adds a form, makes a data key and drops what the second made."""
    made = install(tmp_path / "pitstop", AWAY)
    for name in ("second", "third"):
        create_key_file(made.home / name)
    before = reconfigured(made, [f"file:{made.home}/key", f"file:{made.home}/second"])
    assert typed("keys", "init", config=before.config_path).code == 0
    cluster = sample_cluster(before.repository_of_all())
    write_backup(cluster, FIRST)
    write_backup(cluster, SECOND, seed=2)
    for number in range(2, 5):
        cluster.wal.put_segment(1, number, segment(number))
    return reconfigured(made, [f"file:{made.home}/key", f"file:{made.home}/third"])


def rotate(here: Installation, at: int) -> subprocess.CompletedProcess[str]:
    """Rotate in a process that is killed at moment `at`."""
    argv = [sys.executable, "-I", "-B", "-c", MORTAL, str(at), "--config", str(here.config_path)]
    words = ["keys", "rotate", "--drop-unused", "--key-changed", "--json"]
    return subprocess.run([*argv, *words], capture_output=True, text=True, check=False, cwd="/", timeout=120)


def test_killed_at_many_moments(here: Installation, tmp_path: Path, typed: Typed, pytestconfig: pytest.Config) -> None:
    """Killed anywhere: every backup opens with the old key, new ones are written, and the same command ends what was begun, with no
    data key made in vain; then each key alone opens everything, and the audit has what was done once."""
    kept = tmp_path / "kept"
    shutil.copytree(here.home, kept, symlinks=True)
    whole = rotate(here, -1)
    assert whole.returncode == 0, whole.stderr
    moments = int(whole.stdout.splitlines()[-1])
    assert moments > SOME, "nothing was counted"
    step = 1 if pytestconfig.getoption("--full") else -(-moments // SOME)
    left = set()
    for at in range(0, moments, step):
        shutil.rmtree(here.home)
        shutil.copytree(kept, here.home, symlinks=True)
        assert rotate(here, at).returncode == -signal.SIGKILL, f"moment {at} of {moments}"
        left.add(found := _left(here))
        _check_usable(here, f"moment {at} of {moments}")
        done = typed("keys", "rotate", "--drop-unused", "--key-changed", "--json", config=here.config_path)
        assert done.code == 0, done.err
        [one] = done.json["repositories"]
        assert one["proof"]["holds"] is True
        assert one["made"] is (found[0] == 1), f"moment {at} of {moments}"
        _check_rotated(here, typed)
    assert left <= {(1, 2), (1, 3), (2, 4), (2, 5)}
    assert {keys for keys, _ in left} == {1, 2}, "it was killed before and after its data key"


def _left(here: Installation) -> tuple[int, int]:
    """Return how many data keys a rotation that was killed left, and how many forms of them."""
    ring = here.repository_of_all().keys
    keys = ring.ids()
    return len(keys), sum(len(ring.forms(key_id)) for key_id in keys)


def _check_usable(here: Installation, when: str) -> None:
    """What is kept opens with the key of before alone and is whole, and a backup can be written."""
    old = reconfigured(here, [f"file:{here.home}/key"])
    cluster = sample_cluster(old.repository_of_all())
    assert [backup.id for backup in cluster.backups()] == [FIRST, SECOND], when
    assert list(examine(cluster)) == [], when
    write_backup(cluster, LATER, seed=3)
    reconfigured(here, [f"file:{here.home}/key", f"file:{here.home}/third"])


def _check_rotated(here: Installation, typed: Typed) -> None:
    """Everything opens with either key alone, nothing is noted as begun, and the audit chain is whole."""
    for name in ("key", "third"):
        alone = reconfigured(here, [f"file:{here.home}/{name}"])
        assert len(alone.repository_of_all().keys.ids()) == 2
        cluster = sample_cluster(alone.repository_of_all())
        assert [backup.id for backup in cluster.backups()] == [FIRST, SECOND, LATER]
        assert list(examine(cluster)) == []
    reconfigured(here, [f"file:{here.home}/key", f"file:{here.home}/third"])
    assert typed("keys", "check", config=here.config_path).code == 0
    with here.ledger.read() as tx:
        assert data_keys.begun(tx, "local") is None
        assert audit.verify(tx).intact
        done = [entry for entry in audit.entries(tx, subject="local") if entry.action == "keys.rotate"]
    assert len(done) == 1

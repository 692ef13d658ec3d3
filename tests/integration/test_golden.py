"""Repositories that earlier versions wrote: this version lists, scrubs, verifies and restores each of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bot.config import load
from bot.ledger import Ledger
from bot.model.runs import Job
from bot.postgres.isolated import remove_directory
from bot.repository.examine import examine
from tests.bare_python import bare_python
from tests.commands import pitstop
from tests.jobs import CLUSTER, Installation
from tests.recoveries import RIGHTS
from tests.servers import PlainServerFactory, execute
from tests.stand_alone import SCRIPT
from tests.vectors.make_golden import FILE, GOLDEN, PHRASE, ROWS

pytestmark = pytest.mark.pg

NAMES = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


@dataclass
class Golden:
    """A copy of a golden repository, with its facts."""

    home: Path
    facts: dict[str, Any]

    def installed(self, *keys: str, dsn: str = "host=/nowhere", **extra: str) -> Installation:
        """Return an installation over it that opens it with these keys."""
        named = ", ".join(f'"{key.format(home=self.home)}"' for key in keys)
        more = "\n".join(f"{name} = {value}" for name, value in extra.items())
        path = self.home / "pitstop.toml"
        path.write_text(
            f'ledger = "{self.home}/ledger.db"\nspool = "{self.home}/spool"\n[encryption]\nkeys = [{named}]\n'
            f'[repositories.local]\nurl = "file://{self.home}/repository"\n'
            f'[restore]\ndirectory = "{self.home.parent}/restores"\n'
            f'[clusters.{CLUSTER}]\ndsn = "{dsn}"\nshared_disk = true\n{more}\n'
        )
        config, _ = load(path)
        ledger = Ledger(config.ledger)
        ledger.create()
        return Installation(self.home, path, config, ledger)

    def objects(self) -> dict[str, bytes]:
        """Return every stored object."""
        root = self.home / "repository"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(params=NAMES)
def golden(request: pytest.FixtureRequest, server_home: Path) -> Golden:
    """Unpack one, so that what is checked in stays as it is."""
    source, home = GOLDEN / str(request.param), server_home / "golden"
    home.mkdir(mode=0o700)
    with tarfile.open(source / "repository.tar") as tar:
        tar.extractall(home / "repository", filter="data")
    for name in ("key", "passphrase"):
        shutil.copy(source / name, home / name)
        (home / name).chmod(0o600)
    return Golden(home, json.loads((source / "facts.json").read_text("utf-8")))


@pytest.mark.parametrize("key", [FILE, PHRASE], ids=["key file", "passphrase"])
def test_it_is_listed_and_sound(golden: Golden, key: str) -> None:
    """With either key alone all is read: backups with what is said of them, WAL without a hole on both timelines, no damage."""
    facts, before = golden.facts, golden.objects()
    assert {path: len(data) for path, data in before.items()} == facts["objects"]
    history = golden.installed(key).repository()
    listed = {backup.id: backup for backup in history.backups()}
    assert sorted(listed) == sorted([facts["base"], facts["dump"], facts["damaged"]])
    assert [listed[facts[name]].damaged for name in ("base", "dump")] == [None, None]
    assert listed[facts["damaged"]].damaged == "marked for this test"
    assert [listed[facts[name]].partial for name in ("base", "dump", "damaged")] == ["", "", "schema-only"]
    assert [listed[facts[name]].pinned for name in ("base", "dump")] == [True, False]
    assert [bool(listed[facts[name]].verified_at) for name in ("base", "dump")] == [False, True]
    assert history.system_id == facts["system_id"]
    assert [piece.timeline for piece in history.wal.ranges()] == [1, 2]
    assert len(history.repository.keys.ids()) == 3
    assert list(examine(history)) == []
    assert golden.objects() == before


def test_it_is_scrubbed_and_restored(golden: Golden, plain_server: PlainServerFactory) -> None:
    """Recovered to the first generation and to the third, the second's dump into a database: the rows of then, and no others."""
    server = plain_server(15)
    here = golden.installed(FILE, dsn=server.dsn(), **RIGHTS)
    scrubbed = here.run(Job.SCRUB, all=True)
    assert (scrubbed["damaged"], scrubbed["problems"]) == ([], [])
    first, second, third = golden.facts["marks"]
    for number, (target, mark) in enumerate([(f"lsn:{first['lsn']}", first), ("latest", third)]):
        with recovered(here, f"{number}", target) as dsn, psycopg.connect(dsn) as connection:
            [found] = connection.execute(ROWS)
            assert [found[0], str(found[1]), found[2]] == mark["rows"], mark["name"]
            assert connection.execute('SELECT count(*) FROM "Users"').fetchone() == (50,)
    said = pitstop(
        "restore", CLUSTER, golden.facts["dump"], "--into-database", "golden", "--reason", "test", "--json",
        config=here.config_path,
    )  # fmt: skip
    assert said.code == 0, said.err + said.out
    [found] = execute(server, ROWS, dbname="golden")
    assert [int(str(found[0])), str(found[1]), found[2]] == second["rows"]


@contextmanager
def recovered(here: Installation, name: str, target: str) -> Iterator[str]:
    """Recover the cluster to a target into a directory of its own, and yield how to reach it."""
    directory = here.home.parent / f"copy-{name}"
    words = ("pitr", CLUSTER, "--to", target, "--into-directory", str(directory), "--reason", "test", "--json")
    try:
        said = pitstop(*words, config=here.config_path)
        assert said.code == 0, said.err + said.out
        yield said.json["dsn"]
    finally:
        remove_directory(directory)


@pytest.mark.parametrize("key", ["key", "passphrase"])
def test_the_script_reads_it(golden: Golden, tmp_path: Path, key: str) -> None:
    """The stand-alone script of today reads every generation of it, with nothing but its two packages."""
    python = bare_python(tmp_path / "bare")
    place = f"{CLUSTER}/{golden.facts['system_id']}"
    for backup in ("base", "dump"):
        words = ["extract", f"{place}/backups/{golden.facts[backup]}", str(tmp_path / backup)]
        subprocess.run(
            [python, SCRIPT, golden.home / key, golden.home / "repository", *words], check=True, capture_output=True,
            cwd="/", env={"PATH": os.defpath},
        )  # fmt: skip
    with tarfile.open(tmp_path / "base/base.tar") as tar:
        version = tar.extractfile("PG_VERSION")
        assert version is not None
        assert version.read() == b"15\n"
    assert {path.name for path in (tmp_path / "dump").iterdir()} >= {"globals"}

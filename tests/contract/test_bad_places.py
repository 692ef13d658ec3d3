"""A directory that cannot be a repository, or not just now: a clear sentence, the right exit code, and nothing half done."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot import cli
from bot.config import RepositoryConfig
from bot.errors import PitstopError, Unavailable
from bot.model.ids import BackupId
from bot.repository import layout
from bot.repository.examine import examine
from bot.repository.open import open_store
from bot.repository.unpack import unpack
from tests.forked import forked
from tests.unit.repository.sample import (
    NAME,
    SECOND,
    SYSTEM,
    data_directory,
    open_sample,
    sample_cluster,
    segment,
    write_backup,
)

NOBODY = 65534


@pytest.fixture
def home(short_tmp: Path) -> Path:
    """A key and a repository with a backup and WAL, and a configuration for them."""
    cluster = sample_cluster(open_sample(short_tmp))
    write_backup(cluster)
    cluster.wal.put_segment(1, 32, segment(32))
    configure(short_tmp, f"file://{short_tmp}/repository")
    return short_tmp


def configure(home: Path, url: str) -> None:
    """Write the configuration with the repository somewhere else."""
    (home / "pitstop.toml").write_text(
        f'ledger = "{home}/ledger.db"\nspool = "{home}/spool"\n[repositories.local]\nurl = "{url}"\n'
        f'[encryption]\nkey = "file:{home}/key"\n[clusters.{NAME}]\ndsn = "host={home} user=nobody"\nshared_disk = true\n'
    )


def told(home: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Run a command line; return its exit code and its JSON."""
    code = cli.run(["--config", str(home / "pitstop.toml"), *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every file and folder below, with mode and size: what has to be the same after a refusal."""
    return {str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_size) for path in folder.rglob("*")}


def a_file(home: Path) -> str:
    (home / "backups").write_text("mine")
    return f"file://{home}/backups"


def below_a_file(home: Path) -> str:
    (home / "backups").write_text("mine")
    return f"file://{home}/backups/pitstop"


def nothing_there(home: Path) -> str:
    return f"file://{home}/unmounted"


def an_empty_folder(home: Path) -> str:
    (home / "mount-point").mkdir()
    return f"file://{home}/mount-point"


def other_things(home: Path) -> str:
    (home / "photos").mkdir()
    (home / "photos/cat.jpg").write_bytes(b"meow")
    return f"file://{home}/photos"


def without_keys(home: Path) -> str:
    shutil.rmtree(home / "repository/keys")
    return f"file://{home}/repository"


PLACES: list[tuple[Callable[[Path], str], str, str, str, str]] = [
    (a_file, "list", "repository-not-a-folder", "local is at {home}/backups, which is not a folder", "url"),
    (a_file, "keys init", "repository-not-a-folder", "local is at {home}/backups, which is not a folder", "url"),
    (below_a_file, "list", "repository-missing", "local has no folder {home}/backups/pitstop", "mounted"),
    (below_a_file, "keys init", "repository-not-a-folder", "{home}/backups", "url"),
    (nothing_there, "list", "repository-missing", "local has no folder {home}/unmounted", "mounted"),
    (an_empty_folder, "list", "no-data-key", "{home}/mount-point has no data key", "mounted"),
    (other_things, "list", "no-data-key", "{home}/photos has no data key", "mounted"),
    (
        other_things,
        "keys init",
        "not-a-repository",
        "local is not empty and has no keys: it holds cat.jpg",
        "empty folder",
    ),
    (without_keys, "list", "no-data-key", "{home}/repository has no data key", "mounted"),
    (without_keys, "keys init", "not-a-repository", f"it holds {NAME}", "keys"),
]


@pytest.mark.parametrize(("make", "command", "code", "says", "hint"), PLACES)
def test_a_url_that_leads_elsewhere(
    home: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], str], command: str, code: str, says: str,
    hint: str,
) -> None:  # fmt: skip
    """Wrong usage (exit code 2), naming repository and folder and what to look at; nothing is written, also by `keys init`."""
    configure(home, make(home))
    before = contents(home)
    words = ["list", NAME] if command == "list" else command.split()
    exit_code, document = told(home, *words, capsys=capsys)
    assert (exit_code, document["error"]["code"]) == (2, code), document
    assert says.format(home=home) in document["error"]["message"]
    assert hint in document["error"]["hint"]
    now = contents(home)
    assert {name: now[name] for name in now if not name.startswith("ledger.db")} == before


@pytest.fixture
def shared(home: Path) -> Iterator[Path]:
    """The same, everything in it belonging to an account that is not root's."""
    if os.geteuid() != 0:
        pytest.skip("giving up root's rights needs root")
    home.chmod(0o755)
    for path in [home, *home.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    yield home
    for path in [home, *(path for path in home.rglob("*") if path.is_dir())]:
        path.chmod(0o700)


def as_nobody(body: Callable[[], str]) -> str:
    """Run `body` in a process of its own with an ordinary account's rights; return what it says."""

    def without_rights() -> str:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return body()

    return forked(without_rights)


def refused(work: Callable[[], object]) -> str:
    """Return the code, sentence and hint with which something is refused; "done" when it is not."""
    try:
        work()
    except PitstopError as error:
        return f"{error.reason_code} | {error.message} | {error.hint}"
    return "done"


def everything_restores(home: Path) -> str:
    """Read everything and restore a backup elsewhere; return what is wrong."""
    cluster = open_sample(home, create=False).cluster(NAME, SYSTEM)
    damage = list(examine(cluster))
    data = home / "restored"
    unpack(cluster, cluster.manifest(SECOND), data, tablespace_dir=lambda oid: home / str(oid))
    right = (data / "base/5/16385").read_bytes() == data_directory()["base/5/16385"]
    return "" if right and not damage and [b.id for b in cluster.backups()] == [SECOND] else f"{damage}"


def test_a_folder_that_may_only_be_read(shared: Path) -> None:
    """Everything is listed, scrubbed and restored; a backup, WAL and expiry say which file and which right is missing."""
    root = shared / "repository"
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    before = contents(root)
    volume = layout.volume(layout.volumes_of(NAME, SYSTEM, SECOND), "base", 0)

    def body() -> str:
        cluster = open_sample(shared, create=False).cluster(NAME, SYSTEM)
        store = cluster.repository.store
        tries = (
            lambda: write_backup(cluster, BackupId("20261123T020000Z-base-0001")),
            lambda: cluster.wal.put_segment(1, 33, segment(33)),
            lambda: store.delete(volume),
        )
        return "\n".join([everything_restores(shared), *(refused(one) for one in tries)])

    restored, backup, wal, delete = as_nobody(body).split("\n")
    assert restored == ""
    for said, word in ((backup, "written"), (wal, "written"), (delete, "deleted")):
        assert said.startswith(f"storage-forbidden | The repository's file {root}/{NAME}/{SYSTEM}/"), said
        assert (
            f"cannot be {word}: Permission denied. | May the user that runs this {word[:4].replace('writ', 'write')}"
            in (said.replace("delete there", "dele there"))
        )
    assert contents(root) == before


@pytest.mark.parametrize(
    ("which", "mode", "says"),
    [
        ("repository", 0o000, "repository"),
        ("repository/slips", 0o000, "slips"),
        ("repository/keys", 0o000, "cannot be l"),
        (f"repository/slips/{SYSTEM}/cluster.json", 0o000, "cluster.json cannot be read"),
    ],
)
def test_what_may_not_even_be_read(shared: Path, which: str, mode: int, says: str) -> None:
    """A folder or file that this user may not read is named; it is never taken for one that is absent or empty."""
    (shared / which).chmod(mode)

    def body() -> str:
        return refused(lambda: open_sample(shared, create=False).cluster(NAME, SYSTEM).backups())

    said = as_nobody(body)
    assert said.startswith("storage-forbidden | "), said
    assert says in said
    assert "Permission denied" in said


@pytest.mark.parametrize(
    ("mode", "create", "says"), [(0o755, True, "made"), (0o000, True, "made"), (0o000, False, "looked at")]
)
def test_a_folder_of_somebody_else(shared: Path, mode: int, create: bool, says: str) -> None:
    """A repository below a folder that this user may not change, or not enter, is not begun and not called absent."""
    (shared / "closed").mkdir()
    (shared / "closed").chmod(mode)
    before = contents(shared)
    config = RepositoryConfig.model_validate({"url": f"file://{shared}/closed/pitstop"})
    said = as_nobody(lambda: refused(lambda: open_store("local", config, create=create)))
    folder = f"The folder {shared}/closed/pitstop of repository local"
    assert said.startswith(f"storage-forbidden | {folder} cannot be {says}: Permission denied"), said
    assert contents(shared) == before


def test_a_folder_that_vanishes_between_two_steps(home: Path) -> None:
    """A repository renamed away under a backup: the backup ends as unavailable, and is not half there when it comes back."""
    cluster = open_sample(home, create=False).cluster(NAME, SYSTEM)
    before = contents(home / "repository")
    with pytest.raises(Unavailable) as caught, cluster.begin(BackupId("20261123T020000Z-base-0001")) as writer:
        archive = writer.archive("base", tar=False)
        archive.write(bytes(1000))
        (home / "repository").rename(home / "away")
        archive.close()
    assert caught.value.reason_code == "repository-gone"
    assert str(home / "repository") in caught.value.message
    (home / "away").rename(home / "repository")
    assert [backup.id for backup in cluster.backups()] == [SECOND]
    assert contents(home / "repository") == before

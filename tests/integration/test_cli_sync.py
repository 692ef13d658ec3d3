"""`pitstop sync`, `list`, `show` and `status` with several repositories: documents, sentences, exit codes; without any server."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.ledger import catalogue
from bot.model.runs import Job
from tests.commands import pitstop
from tests.jobs import install
from tests.unit.repository.sample import NAME
from tests.unit.retention_world import World

NOW = datetime.now(UTC)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three dumps of the last days, in the first of two repositories."""
    made = World(tmp_path, f'[repositories.offsite]\nurl = "file://{tmp_path}/offsite"\n')
    for number in range(3):
        at = NOW - timedelta(days=3 - number)
        made.back_up_at(at, number, "dump")
    return made


def test_sync(world: World) -> None:
    """The dry run says what is lacking and copies nothing; the run copies it; then nothing is lacking, and lists say where."""
    ids = world.ids()
    would = pitstop("sync", NAME, "--dry-run", "--json", config=world.path)
    assert would.code == 0, would.err
    assert [one["id"] for one in would.json["repositories"][1]["lacked"]] == sorted(ids, reverse=True)
    assert not (world.home / "offsite").exists()
    done = pitstop("sync", NAME, "--json", config=world.path)
    assert done.code == 0, done.err
    assert done.json["repositories"][1]["behind"]["backups"] == 0
    assert "has all that the others hold" in pitstop("sync", config=world.path).out
    listed = pitstop("list", NAME, "--json", config=world.path)
    assert [one["repositories"] for one in listed.json["backups"]] == [["local", "offsite"]] * 3
    assert listed.json["away"] == {}
    assert "offsite has every backup" in pitstop("status", NAME, config=world.path).out


def test_copies_before_the_first_backup(tmp_path: Path) -> None:
    """On a new installation with two repositories status says once that there is no backup, not that either has every one."""
    top = f'[repositories.offsite]\nurl = "file://{tmp_path}/offsite"\n'
    new = install(tmp_path / "pitstop", "host=/nowhere user=nobody", top=top)
    assert pitstop("keys", "init", config=new.config_path).code == 0
    said = pitstop("status", config=new.config_path).out
    assert said.count("  copies       none: there is no backup yet\n") == 1
    assert "has every backup" not in said


def test_a_used_repository_is_not_begun_anew_unasked(world: World) -> None:
    """`keys init` refuses while what a repository held is not there, naming it, and writes nothing; `--anew` is told so."""
    assert pitstop("list", NAME, config=world.path).code == 0  # the ledger learns what is there
    home, away = world.home / "repository", world.home / "moved-away"
    newest = max(world.ids())
    home.rename(away)
    for _ in range(2):
        refused = pitstop("keys", "init", "--json", config=world.path)
        assert refused.code == 2
        assert refused.json["error"]["code"] == "repository-gone"
        assert f"held 3 backups of {NAME}, the newest {newest}" in refused.json["error"]["message"]
        assert "--anew local" in refused.json["error"]["hint"]
        assert not any(path.is_file() for path in home.rglob("*")) if home.exists() else True
        home.mkdir(exist_ok=True)  # the second time it is an empty mount point
    home.rmdir()
    away.rename(home)
    fine = pitstop("keys", "init", config=world.path)
    assert fine.code == 0, fine.err
    assert "Repository local is ready.\nRepository offsite was begun.\n" in fine.out
    home.rename(away)
    unknown = pitstop("keys", "init", "--anew", "locale", "--json", config=world.path)
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "unknown-repository")
    begun = pitstop("keys", "init", "--anew", "local", "--json", config=world.path)
    assert begun.code == 0, begun.err
    assert begun.json["begun"] == ["local"]


def test_a_damaged_copy(world: World) -> None:
    """Exit code 4 and the object's name where nobody has it whole; a damaged copy beside a sound one is marked in lists."""
    ids = world.ids()
    volume = next((world.home / "repository").glob(f"{NAME}/*/volumes/{ids[0]}/db-0/000000"))
    data = bytearray(volume.read_bytes())
    data[-1] ^= 1
    volume.write_bytes(data)
    found = pitstop("sync", NAME, "--json", config=world.path)
    assert found.code == 4, found.err
    assert [one["path"] for one in found.json["damaged"]] == [str(volume.relative_to(world.home / "repository"))]
    data[-1] ^= 1
    volume.write_bytes(data)
    for event in (world.home / "repository").rglob("*-copy-damaged"):
        event.unlink()
    world.now = datetime.now(UTC)
    assert world.run(Job.SYNC)["ok"]
    data[-1] ^= 1
    volume.write_bytes(data)
    world.now = datetime.now(UTC)
    assert world.run(Job.SCRUB, all=True)["damaged"]
    assert "local (damaged), offsite" in pitstop("list", NAME, config=world.path).out
    shown = pitstop("show", ids[0], "--json", config=world.path).json
    assert shown["damaged"] is None
    assert {one["repository"]: bool(one["damaged"]) for one in shown["copies"]} == {"local": True, "offsite": False}


def test_one_that_is_away(world: World) -> None:
    """Exit code 1 and its name; lists go on from what is known, and status says how far it is behind."""
    world.now = datetime.now(UTC)
    assert world.run(Job.SYNC)["ok"]
    (world.home / "offsite").rename(world.home / "unmounted")
    gone = pitstop("sync", NAME, config=world.path)
    assert gone.code == 1
    assert "offsite" in gone.err
    listed = pitstop("list", NAME, "--json", config=world.path)
    assert listed.code == 0, listed.err
    assert list(listed.json["away"]) == ["offsite"]
    with world.ledger.transaction() as tx:
        catalogue.replace(tx, NAME, "offsite", [])
    assert "offsite lacks 3 backups" in pitstop("status", NAME, config=world.path).out


def test_away_is_said(world: World) -> None:
    """Sync's answer has a row for it, with the problem, dry or not; status says it in text and JSON, until it is back."""
    world.now = datetime.now(UTC)
    assert world.run(Job.SYNC)["ok"]
    nothing = pitstop("sync", NAME, "--dry-run", config=world.path)
    assert nothing.out.splitlines() == ["local: lacks nothing", "offsite: lacks nothing"]
    (world.home / "offsite").rename(world.home / "unmounted")
    world.back_up_at(datetime.now(UTC), 7, "dump")
    for words in ((), ("--dry-run",)):
        gone = pitstop("sync", NAME, *words, "--json", config=world.path)
        assert gone.code == 1, gone.err
        rows = {one["repository"]: one for one in gone.json["repositories"]}
        assert [(name, one["away"]) for name, one in rows.items()] == [("local", False), ("offsite", True)]
        assert str(world.home / "offsite") in rows["offsite"]["problem"]
        assert rows["offsite"]["behind"]["backups"] == 1
        assert "offsite: could not be looked at" in pitstop("sync", NAME, *words, config=world.path).out
    assert not (world.home / "offsite").exists()
    why = f"its folder {world.home}/offsite is not there"
    assert pitstop("status", NAME, "--json", config=world.path).json["clusters"][NAME]["away"] == {"offsite": why}
    said = pitstop("status", NAME, config=world.path).out
    assert f"  repository   offsite is away: {why}; what it holds is as it was last seen\n" in said
    assert "offsite has every backup" not in said
    (world.home / "unmounted").rename(world.home / "offsite")
    assert pitstop("status", NAME, "--json", config=world.path).json["clusters"][NAME]["away"] == {}


def test_keys_of_the_others(world: World) -> None:
    """With one of two repositories away the keys of the other are listed and checked; the check ends with that failure's code."""
    world.now = datetime.now(UTC)
    assert world.run(Job.SYNC)["ok"]
    assert pitstop("keys", "check", config=world.path).code == 0
    (world.home / "repository").rename(world.home / "unmounted")
    listed = pitstop("keys", "list", "--json", config=world.path)
    assert listed.code == 0, listed.out
    assert {one["repository"] for one in listed.json["keys"]} == {"offsite"}
    assert list(listed.json["away"]) == ["local"]
    said = pitstop("keys", "list", config=world.path)
    assert "Note: the keys of local could not be looked at: Repository local has no folder" in said.err
    checked = pitstop("keys", "check", "--json", config=world.path)
    assert (checked.code, checked.json["ok"]) == (2, False)
    assert list(checked.json["away"]) == ["local"]
    assert {one["repository"] for one in checked.json["keys"]} == {"offsite"}
    assert "FAIL  local could not be looked at: Repository local" in pitstop("keys", "check", config=world.path).out
    (world.home / "repository").mkdir()
    checked = pitstop("keys", "check", config=world.path)
    assert checked.code == 2, "an empty mount point"
    assert "has no data key yet" in checked.out
    (world.home / "repository").rmdir()
    (world.home / "offsite").rename(world.home / "too")
    assert pitstop("keys", "list", "--json", config=world.path).json["error"]["code"] == "repository-missing"


def test_one_repository(tmp_path: Path) -> None:
    """There is nothing to copy between, and the hint says what to do."""
    world = World(tmp_path)
    said = pitstop("sync", NAME, "--json", config=world.path)
    assert said.code == 2
    assert said.json["error"]["code"] == "one-repository"
    shutil.rmtree(tmp_path / "repository")

"""What `pitstop keys` says of a repository's data keys."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bot.repository.keys.file import create_key_file, read_key_file
from bot.repository.keys.ring import made_at
from tests import commands
from tests.commands import Said, Typed
from tests.unit.retention_world import World

typed = commands.typed


def test_times_are_written_as_everywhere(tmp_path: Path, typed: Typed) -> None:
    """`keys list --json` and `keys check --json` say when a data key was made in ISO 8601, with its `T` and in UTC."""
    world = World(tmp_path)
    for command in ("list", "check"):
        [key] = typed("keys", command, "--json", config=world.path).json["keys"]
        at = datetime.fromisoformat(key["made_at"])
        assert at == made_at(world.opened.keys.ids()[0])
        assert at.tzinfo is not None
        assert key["made_at"] == at.astimezone(UTC).isoformat()


def shown(said: Said, *secrets: tuple[str, str]) -> str:
    """Return what was printed, with what differs from run to run replaced by a word."""
    text = said.out + said.err
    for value, word in secrets:
        text = text.replace(value, word)
    return text


def test_what_init_says(tmp_path: Path, typed: Typed) -> None:
    """Each key and repository has a line, made or found, and then what is to be kept; a key file alone needs no configuration."""
    world = World(tmp_path, f'[repositories.offsite]\nurl = "file://{tmp_path}/offsite"\n')
    key = read_key_file(tmp_path / "key").id
    for verb in ("was begun", "is ready"):
        assert shown(typed("keys", "init", config=world.path), (key, "KEY"), (str(tmp_path), "HOME")) == (
            f"There is the key KEY in HOME/key.\nRepository local is ready.\nRepository offsite {verb}.\n"
            "Keep a copy of the key file HOME/key away from this machine. Without it no backup can ever be read.\n"
        )
    other = tmp_path / "other"
    made = typed("keys", "init", str(other), "--json").json
    assert made == {
        "key": read_key_file(other).id, "path": str(other), "made": True, "repositories": [], "begun": [],
        "keys": [{"source": f"file:{other}", "kind": "file", "key": read_key_file(other).id, "path": str(other), "made": True}],
    }  # fmt: skip
    refused = typed("keys", "init", str(tmp_path / "third"), "--anew", "local")
    assert (refused.code, (tmp_path / "third").exists()) == (2, False)


def test_what_check_says(tmp_path: Path, typed: Typed) -> None:
    """A line for each key, each repository that is away, and each data key that is lost; the exit code is the worst of them."""
    world = World(tmp_path, f'[repositories.offsite]\nurl = "file://{tmp_path}/offsite"\n')
    data_key = world.opened.keys.ids()[0]
    names = (data_key, "DATA-KEY"), (read_key_file(tmp_path / "key").id, "KEY"), (str(tmp_path), "HOME")
    away = "FAIL  offsite could not be looked at: Repository offsite has no folder HOME/offsite."
    alone = typed("keys", "check", config=world.path)
    first, second, hint, last = shown(alone, *names).splitlines()
    assert (alone.code, first, second) == (2, "ok    file:HOME/key", away)
    assert hint.startswith("      Is its disk mounted")
    assert last == "1 data keys, 1 of them open."
    (tmp_path / "key").rename(tmp_path / "kept")
    create_key_file(tmp_path / "key")
    lost = typed("keys", "check", config=world.path)
    assert lost.code == 4
    text = shown(lost, *names)
    assert text.startswith(
        "FAIL  file:HOME/key: file:HOME/key is not the key file that made these forms in repository local"
    )
    assert f"{away}\n{hint}\nLOST  No key under [encryption] opens the data key DATA-KEY of local. " in text
    assert text.endswith("\n1 data keys, 0 of them open.\n")

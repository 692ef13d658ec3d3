"""What `pitstop keys` says of a repository's data keys."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bot.repository.keys.ring import made_at
from tests import commands
from tests.commands import Typed
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

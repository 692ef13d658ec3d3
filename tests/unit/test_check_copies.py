"""Two repositories of one cluster that go together: `pitstop check` says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.postgres import checks
from bot.postgres.checks import check_copies
from tests.unit.repository.sample import NAME
from tests.unit.retention_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two repositories in two folders."""
    return World(tmp_path, f'[repositories.offsite]\nurl = "file://{tmp_path}/offsite"\n')


def found(world: World) -> list[tuple[str, str]]:
    """Return level and code of what is found."""
    return [(finding.level, finding.code) for finding in check_copies(world.config, NAME)]


def test_one_folder_under_two_names(world: World) -> None:
    """A link to the other repository is no second copy."""
    (world.home / "offsite").symlink_to(world.home / "repository")
    assert found(world) == [("fail", "same-folder")]


def test_two_folders_of_one_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are lost together, which is told and accepted; on two disks there is nothing to say."""
    assert found(world) == [("warn", "same-disk")]
    monkeypatch.setattr(checks, "same_filesystem", lambda _one, _other: False)
    assert found(world) == []

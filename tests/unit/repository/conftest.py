"""A small repository in a temporary folder, and a way to fill it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.repository.cluster import ClusterRepository
from bot.repository.repository import Repository
from tests import stand_alone
from tests.unit.repository.sample import open_sample, sample_cluster


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An open, empty repository below `tmp_path`."""
    return open_sample(tmp_path)


@pytest.fixture
def cluster(repository: Repository) -> ClusterRepository:
    """A cluster without backups, with WAL segments of 1 MiB."""
    return sample_cluster(repository)


@pytest.fixture(scope="session")
def script() -> Any:
    """The stand-alone script as a module."""
    return stand_alone.as_module()

"""Every store, one after the other: a new kind of store is added here and passes the same suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.repository.stores import Store
from bot.repository.stores.files import FilesStore


def files_store(folder: Path) -> Store:
    """Open the directory store in `folder`."""
    folder.mkdir(exist_ok=True)
    return FilesStore(folder)


STORES: dict[str, Callable[[Path], Store]] = {"files": files_store}


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest) -> Callable[[Path], Store]:
    """Open a store of one kind whose place is a folder; opened twice, it is the same store as another process sees it."""
    return STORES[request.param]


@pytest.fixture
def store(opened: Callable[[Path], Store], tmp_path: Path) -> Store:
    """An empty store."""
    return opened(tmp_path / "store")

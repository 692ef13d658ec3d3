"""A store that counts its listings, as a cloud would bill them: a request for each 1,000 objects, and at least one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bot.repository.repository import Repository
from bot.repository.stores import Names, ObjectInfo
from bot.repository.stores.files import FilesStore

PAGE = 1_000


@dataclass(slots=True)
class Listings:
    """What was listed: requests, names that came of them, and folders asked for."""

    requests: int = 0
    names: int = 0
    folders: list[str] = field(default_factory=list)

    def note(self, folder: str, names: int) -> None:
        """Count one listing."""
        self.requests += max(1, math.ceil(names / PAGE))
        self.names += names
        self.folders.append(folder)


class CountingStore(FilesStore):
    """A directory whose listings are counted."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.listings = Listings()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield what is below `prefix`, counting it."""
        names = 0
        try:
            for info in super().list(prefix):
                names += 1
                yield info
        finally:
            self.listings.note(prefix, names)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the paths below `prefix`, counting them as `list` does."""
        yield from (info.path for info in self.list(prefix))

    def children(self, prefix: str) -> Names:
        """Return the next components below `prefix`, counting them."""
        found = super().children(prefix)
        self.listings.note(prefix, len(found))
        return found


def counting(repository: Repository) -> tuple[Repository, Listings]:
    """Return a repository in a directory with its listings counted from here on."""
    assert isinstance(repository.store, FilesStore)
    store = CountingStore(repository.store.root)
    return Repository(repository.name, store, repository.keys, repository.codec), store.listings

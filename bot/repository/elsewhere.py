"""Go on elsewhere: what is damaged, missing or does not open in one repository is read from another that holds the same object.

A copy is the same object byte for byte, and each write has a random salt in its header: where the headers are the same, what was
read and verified here goes on there at the same place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from bot.errors import Usage
from bot.repository import envelope
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.keys.lost import KeyUnopened

if TYPE_CHECKING:
    from bot.repository.repository import Repository

T = TypeVar("T")
UNREADABLE = (ObjectDamaged, ObjectMissing, KeyUnopened)
"""What another repository may know better: its copy may be sound, or its wrapped forms of the data key may open."""


def resumed(repository: Repository, path: str, read: Callable[[Repository], Iterator[T]]) -> Iterator[T]:
    """Yield what `read` yields of the object at `path`; where it turns out damaged, go on in the next repository beside this one.

    Raises:
        ObjectMissing, ObjectDamaged, KeyUnopened: of this repository, where none beside it can go on.
    """
    given = 0
    try:
        for value in read(repository):
            given += 1
            yield value
    except UNREADABLE as error:
        damage = error
    else:
        return
    for other in repository.others:
        if given and not _same(repository, other, path):
            continue
        try:
            for value in islice(read(other), given, None):
                given += 1
                yield value
        except UNREADABLE:
            continue
        repository.told(damage, other.name)
        return
    raise damage


def once(repository: Repository, read: Callable[[Repository], T]) -> T:
    """Return what `read` returns of the first repository that has it whole: this one, or one beside it.

    Raises:
        ObjectMissing, ObjectDamaged, KeyUnopened: of this repository, where none beside it has it.
    """
    try:
        return read(repository)
    except UNREADABLE as error:
        damage = error
    for other in repository.others:
        with contextlib.suppress(*UNREADABLE):
            value = read(other)
            repository.told(damage, other.name)
            return value
    raise damage


def _same(repository: Repository, other: Repository, path: str) -> bool:
    """Say whether both hold the same write of an object."""
    try:
        one, two = (b"".join(r.store.get(path, 0, envelope.HEADER_BYTES)) for r in (repository, other))
    except (ObjectMissing, Usage):
        return False
    return one == two

"""Segments that one repository lacks and another holds: what to copy from one to the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping

Segments = Mapping[int, set[int]]


def lacking(ours: Segments, theirs: Segments, *, at_most: int, since: int = 0) -> list[tuple[int, int]]:
    """Return up to `at_most` segments (timeline, number), oldest first, that another repository holds and ours lacks.

    Only from our own oldest one on: WAL from before this repository's first is of no use to its backups. A timeline of
    which ours holds nothing is taken from the one after our newest timeline on. Segments before the number `since` are older
    than retention keeps WAL: they were removed, and are not brought back.
    """
    if not any(ours.values()):
        return []
    newest = max(timeline for timeline, numbers in ours.items() if numbers)
    found = []
    for timeline, numbers in sorted(theirs.items()):
        mine = ours.get(timeline, set())
        if mine:
            found += [(timeline, number) for number in sorted(numbers - mine) if number > min(mine)]
        elif timeline > newest:
            found += [(timeline, number) for number in sorted(numbers)]
    return [(timeline, number) for timeline, number in found if number >= since][:at_most]

"""The index of a tar: one JSON line per member, in the order of the archive, so that it is written and read in passing. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from bot.repository.damage import ObjectDamaged
from bot.repository.tar import Member


def line(member: Member) -> bytes:
    """Return one member's line."""
    values = (
        member.name,
        member.kind,
        member.offset,
        member.size,
        member.mode,
        member.uid,
        member.gid,
        member.mtime,
        member.link,
    )
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def members(chunks: Iterable[bytes], path: str) -> Iterator[Member]:
    """Yield the members of the index stored at `path`, given its content in chunks of any sizes.

    Raises:
        ObjectDamaged: a line cannot be read, or members overlap or are out of order.
    """
    end = 0
    for text in _lines(chunks):
        try:
            member = Member(*json.loads(text))
            after = member.offset + member.size
        except (ValueError, TypeError):
            raise ObjectDamaged(path, "a line of the index cannot be read") from None
        if member.offset < end or member.size < 0:
            raise ObjectDamaged(path, f"its members overlap at byte {member.offset}")
        end = after
        yield member


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        *whole, held = (held + chunk).split(b"\n")
        yield from whole
    if held:
        yield held

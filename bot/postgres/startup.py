"""The first packet of a PostgreSQL connection: who wants in. Pure.

https://www.postgresql.org/docs/18/protocol-message-formats.html, StartupMessage and its kin.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from enum import Enum

MAX_BYTES = 10000
_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104
_HEADER = struct.Struct("!II")


class Wish(Enum):
    """What the packet asks for: encryption (answered `N`), to cancel a query, to be let in, or nothing we let through."""

    ENCRYPTION = "encryption"
    CANCEL = "cancel"
    ENTRY = "entry"
    REFUSED = "refused"


def read_wish(packet: bytes, users: Collection[str]) -> Wish:
    """Say what a whole packet asks for; entry is for exactly one of `users`, named once."""
    if len(packet) < _HEADER.size:
        return Wish.REFUSED
    length, code = _HEADER.unpack_from(packet)
    if length != len(packet):
        return Wish.REFUSED
    if code in {_SSL, _GSS}:
        return Wish.ENCRYPTION if length == _HEADER.size else Wish.REFUSED
    if code == _CANCEL:
        return Wish.CANCEL
    if code >> 16 != 3:
        return Wish.REFUSED
    wanted = _users(packet[_HEADER.size :])
    return Wish.ENTRY if len(wanted) == 1 and wanted[0] in {user.encode() for user in users} else Wish.REFUSED


def refusal(sentence: str) -> bytes:
    """Return the ErrorResponse that libpq shows as `FATAL:  <sentence>`."""
    fields = b"SFATAL\0VFATAL\0C28000\0M" + sentence.encode() + b"\0\0"
    return b"E" + struct.pack("!I", len(fields) + 4) + fields


def _users(body: bytes) -> list[bytes]:
    """Return every value given for `user`; none where the names and values do not come in pairs."""
    words = body.split(b"\0")
    if len(words) < 3 or words[-2:] != [b"", b""] or len(words) % 2:
        return []
    pairs = zip(words[:-2:2], words[1:-2:2], strict=True)
    return [value for name, value in pairs if name == b"user"]

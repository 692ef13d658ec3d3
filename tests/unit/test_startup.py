"""Who is let through the door of a restored server, by the first packet alone."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.postgres.startup import Wish, read_wish, refusal

USERS = ("pitstop_r1", "näme")


def startup(*pairs: bytes, code: int = 196608, tail: bytes = b"\0") -> bytes:
    """Build a StartupMessage of names and values."""
    body = b"".join(word + b"\0" for word in pairs) + tail
    return struct.pack("!II", len(body) + 8, code) + body


@pytest.mark.parametrize(
    ("packet", "wish"),
    [
        (startup(b"user", b"pitstop_r1"), Wish.ENTRY),
        (startup(b"database", b"x", b"user", "näme".encode(), b"options", b"-c a=b"), Wish.ENTRY),
        (startup(b"user", b"pitstop_r1", code=196610), Wish.ENTRY),
        (startup(b"user", b"postgres"), Wish.REFUSED),
        (startup(b"user", b"pitstop_r1", b"user", b"postgres"), Wish.REFUSED),
        (startup(b"user", b"postgres", b"user", b"pitstop_r1"), Wish.REFUSED),
        (startup(b"database", b"user", b"pitstop_r1", b"user", b"user", b"postgres"), Wish.REFUSED),
        (startup(b"database", b"pitstop_r1"), Wish.REFUSED),
        (startup(b"user", b"pitstop_r1", tail=b""), Wish.REFUSED),
        (startup(b"user", b"pitstop_r1", code=131072), Wish.REFUSED),
        (startup(b"user", b"pitstop_r1") + b"more", Wish.REFUSED),
        (struct.pack("!II", 8, 80877103), Wish.ENCRYPTION),
        (struct.pack("!II", 8, 80877104), Wish.ENCRYPTION),
        (struct.pack("!IIII", 16, 80877102, 1, 2), Wish.CANCEL),
        (b"", Wish.REFUSED),
        (b"GET / HTTP/1.1\r\n\r\n", Wish.REFUSED),
    ],
)
def test_who_is_let_in(packet: bytes, wish: Wish) -> None:
    """Only the login of the dsn, named exactly once; nobody who names the superuser, however it is dressed up."""
    assert read_wish(packet, USERS) is wish


@given(st.binary(max_size=200))
def test_no_bytes_let_somebody_else_in(data: bytes) -> None:
    """Whatever the body is, entry needs the pair `user`, login, and no second `user`."""
    packet = struct.pack("!II", len(data) + 8, 196608) + data
    if read_wish(packet, USERS) is Wish.ENTRY:
        words = data.split(b"\0")
        assert words[::2].count(b"user") == 1
        assert words[words[::2].index(b"user") * 2 + 1] in {user.encode() for user in USERS}


def test_the_refusal_is_what_libpq_reads() -> None:
    """An ErrorResponse with severity, code and message, as long as it says."""
    answer = refusal("no")
    assert answer[:1] == b"E"
    assert struct.unpack("!I", answer[1:5])[0] == len(answer) - 1
    assert b"Mno\0\0" in answer

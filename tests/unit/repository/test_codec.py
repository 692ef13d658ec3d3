"""Frames: every codec gives back what it was given, and a frame that lies is damage."""

from __future__ import annotations

import random
import struct
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Usage
from bot.repository.codec import FRAME_HEADER, PIECE_BYTES, Codec, CodecName, piece_of, unframe
from bot.repository.damage import ObjectDamaged

CODECS = [Codec("zstd", 1), Codec("gzip", 1), Codec("none", 1)]
names = st.sampled_from(CODECS)


@given(codec=names, pieces=st.lists(st.binary(min_size=1, max_size=500), max_size=6), step=st.integers(1, 400))
def test_frames_come_back(codec: Codec, pieces: list[bytes], step: int) -> None:
    """A run of frames, cut anywhere, gives the same pieces."""
    data = b"".join(codec.frame(piece) for piece in pieces)
    blocks = (data[i : i + step] for i in range(0, len(data), step))
    assert list(unframe(blocks, "x")) == pieces


@pytest.mark.parametrize("name", ["zstd", "gzip", "none"])
def test_what_cannot_be_compressed_does_not_grow(name: CodecName) -> None:
    """Random bytes take no more than their own size and the frame's header."""
    piece = random.Random(3).randbytes(10_000)
    assert len(Codec(name, 1).frame(piece)) == len(piece) + FRAME_HEADER.size


def test_pieces_of_every_kind_come_back_in_any_order() -> None:
    """Rows alike, text and noise each have their own tuning, chosen by the piece before: none of it depends on the guess."""
    rng = random.Random(7)
    words = [rng.randbytes(5).hex().encode() for _ in range(400)]
    kinds = {
        "rows": b"".join(struct.pack(">QI", n, n % 100) + b" " * 84 for n in range(600)),
        "text": b" ".join(rng.choices(words, k=6_000)),
        "noise": rng.randbytes(60_000),
    }
    codec = Codec("zstd", 1)
    for order in permutations(kinds):
        for kind in (*order, order[-1]):
            piece = kinds[kind]
            frame = codec.frame(piece)
            assert piece_of(frame, "x", 0) == piece
            wanted = {"rows": 0.25, "text": 0.7, "noise": 1.001}[kind]
            assert len(frame) < wanted * len(piece), (kind, order)


def test_content_is_cut_into_pieces() -> None:
    """Content longer than a piece becomes several frames; empty content none."""
    codec = Codec("zstd", 1)
    content = bytes(PIECE_BYTES + 5)
    frames = list(codec.frames(content))
    assert len(frames) == 2
    assert b"".join(unframe(frames, "x")) == content
    assert list(codec.frames(b"")) == []


@given(codec=names, piece=st.binary(min_size=1, max_size=300), cut=st.integers(1, 300))
def test_a_cut_frame_is_damage(codec: Codec, piece: bytes, cut: int) -> None:
    """A run that ends within a frame is damage that names the piece."""
    data = codec.frame(piece) + codec.frame(piece)
    with pytest.raises(ObjectDamaged) as caught:
        list(unframe([data[: -min(cut, len(data) // 2 - 1)]], "x"))
    assert caught.value.piece == 1


@pytest.mark.parametrize("tag", [1, 2, 9])
def test_a_frame_that_lies_is_damage(tag: int) -> None:
    """A frame of an unknown codec, or one that does not decompress, or to another length, is damage and never an exception."""
    with pytest.raises(ObjectDamaged):
        piece_of(FRAME_HEADER.pack(tag, 100, 5) + b"hello", "x", 0)


def test_a_frame_cannot_ask_for_much_memory() -> None:
    """A frame that says it holds more than any writer writes is refused before anything is allocated."""
    with pytest.raises(ObjectDamaged):
        list(unframe([FRAME_HEADER.pack(1, 0xFFFFFFFF, 10) + bytes(10)], "x"))


def test_gzip_has_its_own_levels() -> None:
    """A level gzip does not know is a mistake of the configuration."""
    with pytest.raises(Usage, match="1 to 9"):
        Codec("gzip", 19)

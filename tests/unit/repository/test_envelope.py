"""The envelope: what is sealed opens to the same bytes, and anything else is refused, naming the chunk."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Usage
from bot.repository import envelope
from bot.repository.damage import ObjectDamaged

KEY_ID = "00112233445566778899aabbccddeeff"
KEY = bytes(range(32))
SALT = bytes(32)
PATH = "slips/1/wal/00000001/000000010000000000000002"
BIG = hashlib.shake_128(b"content").digest(3 * envelope.CHUNK_BYTES + 5)


def sealed(content: bytes, *, path: str = PATH, salt: bytes = SALT, step: int = 1 << 20) -> bytes:
    """Seal `content` given in blocks of `step`."""
    blocks = [content[i : i + step] for i in range(0, len(content), step)]
    return b"".join(envelope.seal(blocks, path=path, key_id=KEY_ID, data_key=KEY, salt=salt))


def opened(data: bytes, *, path: str = PATH, step: int = 1 << 20) -> bytes:
    """Open an object given in blocks of `step`."""
    blocks = (data[i : i + step] for i in range(0, len(data), step))
    return b"".join(envelope.unseal(blocks, path=path, key_of=key_of))


def key_of(key_id: str) -> bytes:
    """Know one key."""
    if key_id != KEY_ID:
        raise Usage(f"no key {key_id}", code="unknown-data-key")
    return KEY


@given(content=st.binary(max_size=2000), step=st.integers(1, 700), back=st.integers(1, 700))
def test_round_trip_whatever_the_blocks(content: bytes, step: int, back: int) -> None:
    """Content comes back the same, however it is cut on the way in and out."""
    assert opened(sealed(content, step=step), step=back) == content


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20, (3 << 20) + 5])
def test_round_trip_at_the_boundaries(size: int) -> None:
    """Sizes around whole chunks come back, and take the space that is computed for them."""
    data = sealed(BIG[:size], step=300_001)
    assert opened(data, step=1_000_003) == BIG[:size]
    assert len(data) == envelope.sealed_bytes(size)


@given(content=st.binary(max_size=300), position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found(content: bytes, position: int, bit: int) -> None:
    """A single flipped bit anywhere, header included, is damage that names the object."""
    data = bytearray(sealed(content))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(ObjectDamaged) as caught:
        opened(bytes(data))
    assert caught.value.path == PATH


@given(content=st.binary(max_size=300), cut=st.integers(min_value=1))
def test_every_truncation_is_found(content: bytes, cut: int) -> None:
    """An object cut off anywhere is damage."""
    data = sealed(content)
    with pytest.raises(ObjectDamaged):
        opened(data[: -(cut % len(data)) or None][: len(data) - 1])


@given(tail=st.binary(min_size=1, max_size=100), size=st.sampled_from([0, 5, 1 << 20]))
def test_everything_appended_is_found(tail: bytes, size: int) -> None:
    """Bytes after the last chunk are damage."""
    with pytest.raises(ObjectDamaged):
        opened(sealed(BIG[:size]) + tail)


def test_damage_names_the_chunk() -> None:
    """The error says which chunk of 1 MiB is damaged, and the chunks before it were right."""
    data = bytearray(sealed(BIG))
    data[envelope.HEADER_BYTES + 2 * envelope.SEALED_CHUNK_BYTES + 17] ^= 1
    chunks = envelope.unseal([bytes(data)], path=PATH, key_of=key_of)
    assert next(chunks) + next(chunks) == BIG[: 2 << 20]
    with pytest.raises(ObjectDamaged, match="chunk 2") as caught:
        next(chunks)
    assert caught.value.chunk == 2


def test_an_object_of_another_path_is_refused() -> None:
    """An object moved to another path does not open there."""
    with pytest.raises(ObjectDamaged, match="another path"):
        opened(sealed(b"content"), path=PATH + ".partial/00000000-00000010")


def test_chunks_of_two_objects_cannot_be_mixed() -> None:
    """The same path and key with another salt is another object: its chunks do not fit."""
    one, two = sealed(BIG[: 2 << 20]), sealed(BIG[: 2 << 20], salt=b"\1" * 32)
    middle = envelope.HEADER_BYTES + envelope.SEALED_CHUNK_BYTES
    with pytest.raises(ObjectDamaged, match="chunk 1"):
        opened(one[:middle] + two[middle:])


def test_an_unknown_key_is_not_called_damage() -> None:
    """An object under a key the repository has not is told by the key's id."""
    data = b"".join(envelope.seal([b"x"], path=PATH, key_id="ff" * 16, data_key=KEY, salt=SALT))
    with pytest.raises(Usage, match="ff" * 16):
        opened(data)


def test_chunk_numbers_of_a_range() -> None:
    """A range of content maps to the chunks that hold it, no more."""
    assert list(envelope.chunks_of(0, 1)) == [0]
    assert list(envelope.chunks_of((1 << 20) - 1, (1 << 20) + 1)) == [0, 1]
    assert list(envelope.chunks_of(1 << 20, 2 << 20)) == [1]

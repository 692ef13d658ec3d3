"""The envelope around every object: AES-256-GCM in chunks of 1 MiB, bound to each other, to the header and to the path.

Specified in docs/envelope.md; test vectors in tests/vectors. Pure: keys, salts and blocks are passed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bot.repository.damage import ObjectDamaged

MAGIC = b"PITSTOP"
VERSION = 1
KEY_BYTES = 32
KEY_ID_BYTES = 16
SALT_BYTES = 32
CHECK_BYTES = 8
HEADER_BYTES = len(MAGIC) + 1 + KEY_ID_BYTES + SALT_BYTES + CHECK_BYTES
CHUNK_BYTES = 1024 * 1024
TAG_BYTES = 16
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
_INFO = b"pitstop object v1"

Buffer = bytes | bytearray | memoryview
KeyOf = Callable[[str], bytes]
"""Gives the data key of a key id (32 hex digits); raises Usage for one it does not have."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first 64 bytes of an object: which data key, and the salt its own key is derived with."""

    key_id: str
    salt: bytes

    def as_bytes(self) -> bytes:
        """Return the header's bytes. The check tells damage from an unknown key; the tags authenticate."""
        front = MAGIC + bytes([VERSION]) + bytes.fromhex(self.key_id) + self.salt
        return front + hashlib.sha256(front).digest()[:CHECK_BYTES]

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> Header:
        """Read the header of the object at `path`.

        Raises:
            ObjectDamaged: too short, not an object of Pitstop's, of a version unknown here, or its check does not fit.
        """
        front, check = data[: HEADER_BYTES - CHECK_BYTES], data[HEADER_BYTES - CHECK_BYTES : HEADER_BYTES]
        if len(data) < HEADER_BYTES:
            raise ObjectDamaged(path, f"it is cut off within its header, at {len(data)} bytes")
        if not data.startswith(MAGIC):
            raise ObjectDamaged(path, "it does not begin like an object of Pitstop's")
        if hashlib.sha256(front).digest()[:CHECK_BYTES] != check:
            raise ObjectDamaged(path, "its header is altered")
        if data[len(MAGIC)] != VERSION:
            raise ObjectDamaged(path, f"its envelope is of version {data[len(MAGIC)]}, unknown here")
        start = len(MAGIC) + 1
        return cls(
            data[start : start + KEY_ID_BYTES].hex(), data[start + KEY_ID_BYTES : start + KEY_ID_BYTES + SALT_BYTES]
        )


class Cipher:
    """The chunks of one object: its own key, its header and its path. Thread-safe."""

    def __init__(self, header: Header, data_key: bytes, path: str) -> None:
        derived = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=header.salt, info=_INFO).derive(data_key)
        self._gcm = AESGCM(derived)
        self._bound = header.as_bytes() + path.encode()
        self._path = path

    def close(self, number: int, content: Buffer, into: memoryview, *, last: bool) -> memoryview:
        """Encrypt chunk `number` (from 0) into a buffer of at least `SEALED_CHUNK_BYTES`; return what of it was filled."""
        sealed = into[: len(content) + TAG_BYTES]
        self._gcm.encrypt_into(_nonce(number, last), content, self._bound, sealed)
        return sealed

    def open(self, number: int, sealed: Buffer, *, last: bool) -> bytes:
        """Decrypt chunk `number`; `last` says whether the object ends with it.

        Raises:
            ObjectDamaged: saying, where it can be told, that the object was cut off or continued.
        """
        if last and len(sealed) == TAG_BYTES and number > 0:
            raise ObjectDamaged(self._path, "it ends with an empty chunk", chunk=number)
        try:
            return self._gcm.decrypt(_nonce(number, last), sealed, self._bound)
        except (InvalidTag, ValueError):
            what = self._explain(number, sealed, last=last)
        raise ObjectDamaged(self._path, what, chunk=number)

    def _explain(self, number: int, sealed: Buffer, *, last: bool) -> str:
        try:
            self._gcm.decrypt(_nonce(number, not last), sealed, self._bound)
        except (InvalidTag, ValueError):
            return "it was altered, cut off or moved, or belongs under another path or key"
        return "it is cut off after this chunk" if last else "it continues after its last chunk"


def seal(chunks: Iterable[Buffer], *, path: str, key_id: str, data_key: bytes, salt: bytes) -> Iterator[bytes]:
    """Yield the object that holds `chunks` (of any sizes): header, then sealed chunks. `salt` must be fresh and random."""
    return map(bytes, seal_in_place(chunks, path=path, key_id=key_id, data_key=data_key, salt=salt))


def seal_in_place(
    chunks: Iterable[Buffer], *, path: str, key_id: str, data_key: bytes, salt: bytes
) -> Iterator[memoryview]:
    """Do what `seal` does for whoever is done with a block before asking for the next: all of them lie in the same memory.

    `chunks` need not keep theirs longer either. Fresh memory for each costs more than AES does.
    """
    header = Header(key_id, salt)
    cipher = Cipher(header, data_key, path)
    yield memoryview(header.as_bytes())
    with _buffers() as (plain, sealed):
        number = filled = 0
        for block in chunks:
            rest = memoryview(block)
            while rest:
                if filled == CHUNK_BYTES:
                    yield cipher.close(number, plain, sealed, last=False)
                    number, filled = number + 1, 0
                step = rest[: CHUNK_BYTES - filled]
                plain[filled : filled + len(step)] = step
                filled, rest = filled + len(step), rest[len(step) :]
        yield cipher.close(number, plain[:filled], sealed, last=True)


def unseal(blocks: Iterable[bytes], *, path: str, key_of: KeyOf) -> Iterator[bytes]:
    """Yield the content of the object at `path`, given its bytes in blocks of any sizes; each chunk is verified first.

    Only when the iteration ends without an error was the object whole.

    Raises:
        ObjectDamaged: naming the chunk.
        Usage: from `key_of`.
    """
    stream = _Blocks(blocks)
    header = Header.from_bytes(stream.take(HEADER_BYTES), path)
    cipher = Cipher(header, key_of(header.key_id), path)
    for number, (sealed, last) in enumerate(_even(stream.rest(), SEALED_CHUNK_BYTES)):
        content = cipher.open(number, sealed, last=last)
        if content:
            yield content


def sealed_bytes(content_bytes: int) -> int:
    """Return the size of the object that holds `content_bytes`."""
    return HEADER_BYTES + content_bytes + TAG_BYTES * max(1, -(-content_bytes // CHUNK_BYTES))


def chunks_of(start: int, end: int) -> range:
    """Return the numbers of the chunks that hold content bytes [start, end)."""
    return range(start // CHUNK_BYTES, -(-end // CHUNK_BYTES))


_SPARE: SimpleQueue[tuple[bytearray, bytearray]] = SimpleQueue()
_SPARES = 4


@contextmanager
def _buffers() -> Iterator[tuple[memoryview, memoryview]]:
    """Lend a buffer for a chunk and one for it sealed, used before where there are some."""
    try:
        pair = _SPARE.get_nowait()
    except Empty:
        pair = (bytearray(CHUNK_BYTES), bytearray(SEALED_CHUNK_BYTES))
    with memoryview(pair[0]) as plain, memoryview(pair[1]) as sealed:
        yield plain, sealed
    if _SPARE.qsize() < _SPARES:
        _SPARE.put(pair)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _even(blocks: Iterable[Buffer], size: int) -> Iterator[tuple[Buffer, bool]]:
    """Yield blocks of exactly `size` but the last, each with whether it is the last; an empty one only when all is empty."""
    held = bytearray()
    for block in blocks:
        held += block
        if len(held) > size:
            view, start = memoryview(held), 0
            while len(held) - start > size:
                yield view[start : start + size], False
                start += size
            view.release()
            held = held[start:]
    yield held, True


class _Blocks:
    """Takes an exact number of bytes off the front of an iterable of blocks."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._held = b""

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        while len(self._held) < size and (block := next(self._blocks, None)) is not None:
            self._held += block
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def rest(self) -> Iterator[bytes]:
        """Yield what was not taken."""
        if self._held:
            yield self._held
        yield from self._blocks

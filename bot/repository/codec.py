"""Compression: content becomes a run of pieces, each a frame that says its codec and both its lengths."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import zstandard

from bot.errors import Usage
from bot.repository.damage import ObjectDamaged

CodecName = Literal["zstd", "gzip", "none"]
Buffer = bytes | bytearray | memoryview

PIECE_BYTES = 2 * 1024 * 1024
MAX_PIECE_BYTES = 16 * 1024 * 1024
FRAME_HEADER = struct.Struct(">BII")
"""Before each frame: codec (0 none, 1 zstd, 2 gzip), length of the piece, length of the frame."""
_NONE, _ZSTD, _GZIP = 0, 1, 2
_ROWS, _NOISE = 0.25, 0.6
"""A piece that shrinks below the one share of itself is rows alike; one that does not shrink below the other is noise."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Compresses pieces; `level` is the codec's own (zstd 1-19, gzip 1-9). Thread-safe; the work is done without the GIL."""

    name: CodecName = "zstd"
    level: int = 3
    _local: threading.local = field(default_factory=threading.local, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name == "gzip" and not 1 <= self.level <= 9:
            raise Usage(f"gzip knows levels 1 to 9, not {self.level}.", hint="Set `level` in the repository's table.")

    def frame(self, piece: Buffer) -> bytes:
        """Return one piece (at most 16 MiB) as a frame with its header; one that would grow is stored as it is."""
        return b"".join(self.parts(piece))

    def parts(self, piece: Buffer) -> tuple[bytes, Buffer]:
        """Return a frame's header and its body; the body of a piece that would grow is the piece itself, not a copy."""
        size = len(piece)
        tag, body = self._compress(piece)
        if len(body) >= size:
            tag, body = _NONE, piece
        return FRAME_HEADER.pack(tag, size, len(body)), body

    def frames(self, content: Buffer) -> Iterator[bytes]:
        """Yield content of any size as frames of pieces of 2 MiB; nothing for empty content."""
        view = memoryview(content)
        for start in range(0, len(view), PIECE_BYTES):
            yield self.frame(view[start : start + PIECE_BYTES])

    def _compress(self, piece: Buffer) -> tuple[int, Buffer]:
        if self.name == "zstd":
            return _ZSTD, self._zstd().compress(piece)
        if self.name == "gzip":
            gzip = zlib.compressobj(self.level, zlib.DEFLATED, 31)
            return _GZIP, gzip.compress(piece) + gzip.flush()
        return _NONE, piece

    def _zstd(self) -> _Compressor:
        """Return this thread's compressor."""
        found = getattr(self._local, "compressor", None)
        if found is None:
            found = self._local.compressor = _Tuned() if self.level == 1 else zstandard.ZstdCompressor(level=self.level)
        assert isinstance(found, _Tuned | zstandard.ZstdCompressor)
        return found


class _Compressor(Protocol):
    def compress(self, data: Buffer) -> bytes:
        """Return `data` compressed, as one frame of zstd."""
        ...


class _Tuned:
    """zstd level 1, tuned for the pages of a database; not thread-safe.

    Matches in pages are near: a window of 256 KiB stays in the processor's cache, and with twice the usual hash table and
    matches from 7 bytes on, level 1 stores what level 3 does (+0.3%; untuned +1.6%) faster than that. What repeats itself in every
    row wants less of both, and what is random is passed over faster; which of them a piece is, the piece before it tells.
    """

    def __init__(self) -> None:
        self._text = _level_1(window_log=18, hash_log=15, min_match=7)
        self._rows = _level_1(window_log=17, hash_log=11, min_match=7)
        self._noise = _level_1(window_log=18, hash_log=12, min_match=6, target_length=4)
        self._next = self._text

    def compress(self, data: Buffer) -> bytes:
        """Return `data` compressed."""
        found = self._next.compress(data)
        share = len(found) / (len(data) or 1)
        self._next = self._rows if share < _ROWS else self._noise if share > _NOISE else self._text
        return found


def _level_1(**tuning: int) -> zstandard.ZstdCompressor:
    tuned = zstandard.ZstdCompressionParameters.from_level(1, source_size=PIECE_BYTES, **tuning)
    return zstandard.ZstdCompressor(compression_params=tuned)


def unframe(chunks: Iterable[bytes], path: str) -> Iterator[bytes]:
    """Yield the pieces of an object's content, given in chunks of any sizes, decompressed.

    Raises:
        ObjectDamaged: a frame is malformed or cut off; naming the piece.
    """
    held, number = bytearray(), 0
    for chunk in chunks:
        held += chunk
        while (end := _frame_end(held, path, number)) is not None:
            yield piece_of(held[:end], path, number)
            del held[:end]
            number += 1
    if held:
        raise ObjectDamaged(path, "it ends within a frame", piece=number)


def piece_of(frame: Buffer, path: str, number: int) -> bytes:
    """Return the piece in one whole frame with its header; `path` and `number` are for the error.

    Raises:
        ObjectDamaged: it cannot be decompressed to the length it states.
    """
    tag, size, stored = FRAME_HEADER.unpack_from(frame)
    body = memoryview(frame)[FRAME_HEADER.size :]
    if len(body) != stored or size > MAX_PIECE_BYTES:
        raise ObjectDamaged(path, "a frame has another length than it states", piece=number)
    try:
        piece = _decompress(tag, body, size)
    except (zstandard.ZstdError, zlib.error, ValueError) as error:
        raise ObjectDamaged(path, f"a frame cannot be decompressed ({error})", piece=number) from None
    if len(piece) != size:
        raise ObjectDamaged(path, f"a frame holds {len(piece)} bytes instead of {size}", piece=number)
    return piece


def _frame_end(held: bytearray, path: str, number: int) -> int | None:
    """Return the length of the first whole frame in `held`, or None when more is needed."""
    if len(held) < FRAME_HEADER.size:
        return None
    _, size, stored = FRAME_HEADER.unpack_from(held)
    if size > MAX_PIECE_BYTES or stored > MAX_PIECE_BYTES:
        raise ObjectDamaged(path, "a frame states a length that is never written", piece=number)
    end = FRAME_HEADER.size + int(stored)
    return end if len(held) >= end else None


def _decompress(tag: int, body: memoryview, size: int) -> bytes:
    if tag == _NONE:
        return bytes(body)
    if tag == _ZSTD:
        if zstandard.frame_content_size(body) != size:
            raise ValueError("the frame states another size")
        return _decompressor().decompress(body, max_output_size=size, allow_extra_data=False)
    if tag == _GZIP:
        gzip = zlib.decompressobj(31)
        piece = gzip.decompress(body, size + 1)
        if not gzip.eof or gzip.unused_data:
            raise ValueError("the frame does not end where it should")
        return piece
    raise ValueError(f"codec {tag} is not known here")


_LOCAL = threading.local()


def _decompressor() -> zstandard.ZstdDecompressor:
    context = getattr(_LOCAL, "context", None)
    if context is None:
        context = _LOCAL.context = zstandard.ZstdDecompressor()
    assert isinstance(context, zstandard.ZstdDecompressor)
    return context

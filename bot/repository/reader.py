"""Read volumes: whole, piece by verified piece, or only the bytes of one member."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from bot.errors import Usage
from bot.repository import elsewhere, envelope, index
from bot.repository.codec import piece_of, unframe
from bot.repository.damage import ObjectDamaged
from bot.repository.manifest import Archive, Manifest, Volume
from bot.repository.tar import Member

if TYPE_CHECKING:
    from bot.repository.repository import Repository


def find_archive(manifest: Manifest, name: str) -> Archive:
    """Return an archive of a backup.

    Raises:
        Usage: `unknown-archive`.
    """
    archive = manifest.archive(name)
    if archive is None:
        known = ", ".join(archive.name for archive in manifest.archives)
        raise Usage(f"The backup {manifest.id} has no archive {name}, only {known}.", code="unknown-archive")
    return archive


def pieces(repository: Repository, volume: Volume) -> Iterator[bytes]:
    """Yield the input of a whole volume, piece by verified piece; at the end its size and SHA-256 were right as well.

    What is damaged here is read from a repository beside this one that has it.

    Raises:
        ObjectMissing: at the first piece.
        ObjectDamaged: naming object, chunk, and the first piece that the chunk holds a part of.
    """
    return elsewhere.resumed(repository, volume.path, lambda source: _pieces(source, volume))


def _pieces(repository: Repository, volume: Volume) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0

    def watched(blocks: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal size
        for block in blocks:
            digest.update(block)
            size += len(block)
            yield block

    blocks = watched(repository.store.get(volume.path))
    content = _naming(envelope.unseal(blocks, path=volume.path, key_of=repository.key_of(volume.path)), volume)
    total = 0
    for piece in unframe(content, volume.path):
        total += len(piece)
        yield piece
    if size != volume.bytes_stored or digest.hexdigest() != volume.sha256 or total != volume.bytes_read:
        raise ObjectDamaged(volume.path, "it is not the object that the manifest names: size or SHA-256 differ")


def members(repository: Repository, archive: Archive) -> Iterator[Member]:
    """Yield the members of a tar archive from its index, in order; from a repository beside this one where it is damaged.

    Raises:
        ObjectMissing, ObjectDamaged: of the index, also when it is not the one the manifest names.
    """
    if archive.index is None:
        return iter(())
    path = archive.index
    return elsewhere.resumed(repository, path, lambda source: _members(source, archive, path))


def _members(repository: Repository, archive: Archive, path: str) -> Iterator[Member]:
    digest, count, end = hashlib.sha256(), 0, 0

    def watched(blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            digest.update(block)
            yield block

    content = envelope.unseal(watched(repository.store.get(path)), path=path, key_of=repository.key_of(path))
    for member in index.members(unframe(content, path), path):
        count, end = count + 1, member.offset + member.size
        yield member
    if count != archive.members or end > archive.bytes_read or digest.hexdigest() != archive.index_sha256:
        raise ObjectDamaged(path, "it is not the index that the manifest names")


def span(repository: Repository, archive: Archive, start: int, size: int, piece_bytes: int) -> Iterator[bytes]:
    """Yield input bytes [start, start+size) of an archive, fetching only the pieces (of `piece_bytes`) that hold them.

    Raises:
        ObjectMissing, ObjectDamaged: naming object, chunk and piece.
    """
    end = start + size
    for volume in archive.volumes:
        first, after = max(0, start - volume.start), min(volume.bytes_read, end - volume.start)
        for number in range(first // piece_bytes, -(-after // piece_bytes)):
            content, at = piece(repository, volume, number), number * piece_bytes
            yield content[max(0, first - at) : after - at]


def piece(repository: Repository, volume: Volume, number: int) -> bytes:
    """Return one piece of a volume, fetching only the chunks that hold its frame.

    Raises:
        ObjectMissing, ObjectDamaged: naming object, chunk and piece.
    """
    end = sum(volume.frames[: number + 1])

    def read(source: Repository) -> bytes:
        return piece_of(_content(source, volume, end - volume.frames[number], end), volume.path, number)

    return elsewhere.once(repository, read)


def _content(repository: Repository, volume: Volume, start: int, end: int) -> bytes:
    """Return bytes [start, end) of what the envelope of a volume holds."""
    header = envelope.Header.from_bytes(
        b"".join(repository.store.get(volume.path, 0, envelope.HEADER_BYTES)), volume.path
    )
    cipher = envelope.Cipher(header, repository.keys.key(header.key_id, volume.path), volume.path)
    numbers = envelope.chunks_of(start, end)
    last = envelope.chunks_of(0, sum(volume.frames))[-1]
    offset = envelope.HEADER_BYTES + numbers[0] * envelope.SEALED_CHUNK_BYTES
    sealed = b"".join(repository.store.get(volume.path, offset, len(numbers) * envelope.SEALED_CHUNK_BYTES))
    opened = bytearray()
    for place, number in enumerate(numbers):
        chunk = memoryview(sealed)[place * envelope.SEALED_CHUNK_BYTES :][: envelope.SEALED_CHUNK_BYTES]
        opened += cipher.open(number, chunk, last=number == last)
    skip = start - numbers[0] * envelope.CHUNK_BYTES
    return bytes(opened[skip : skip + end - start])


def _naming(chunks: Iterable[bytes], volume: Volume) -> Iterator[bytes]:
    """Add to a damaged chunk's error the first piece it holds a part of."""
    try:
        yield from chunks
    except ObjectDamaged as error:
        if error.chunk is None:
            raise
        raise ObjectDamaged(
            error.path, error.what, chunk=error.chunk, piece=piece_at(volume, error.chunk * envelope.CHUNK_BYTES)
        ) from None


def piece_at(volume: Volume, position: int) -> int | None:
    """Return the number of the piece whose frame holds byte `position` of a volume's content, or None past the end."""
    for number, end in enumerate(accumulate(volume.frames)):
        if position < end:
            return number
    return None

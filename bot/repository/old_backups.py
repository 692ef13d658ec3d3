"""Files that the scripts before Pitstop made: openssl's AES-256-CBC around gzip around pg_dump's custom format.

`openssl enc -aes-256-cbc -salt -pbkdf2` writes `Salted__`, 8 bytes of salt, and the ciphertext; key and IV are 48 bytes of
PBKDF2 with HMAC-SHA-256 and 10,000 rounds. Nothing in it is authenticated: what is damaged shows in gzip's checksum.
Each layer may be missing, and gzip may be there twice.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from bot.errors import Corruption, Unavailable, Usage

_SALTED, _GZIP, _CUSTOM = b"Salted__", b"\x1f\x8b\x08", b"PGDMP"
_SQL = (b"--", b"SET ", b"\\restrict ", b"CREATE ", b"/*")
_ROUNDS, _SALT_BYTES, _KEY_BYTES, _BLOCK_BYTES = 10_000, 8, 32, 16
_READ_BYTES = 1024 * 1024
_LAYERS = 3


def read_passphrase(path: Path) -> bytes:
    """Return the first line of a file without its end, as `openssl -pass file:` reads it.

    Raises:
        Usage: it cannot be read, or its first line is empty.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(_READ_BYTES).partition(b"\n")[0]
    except OSError as error:
        raise Usage(
            f"The passphrase of the old backups cannot be read from {path}: {error.strerror}.",
            hint="Is old_backups.passphrase_file right, and may this user read it?",
            code="no-passphrase",
        ) from None
    if not line:
        raise Usage(f"The first line of {path} is empty.", hint="The passphrase stands there.", code="no-passphrase")
    return line


def open_old(path: Path, passphrase: bytes | None) -> Iterator[bytes]:
    """Yield what pg_dump wrote, with every layer taken off as far as there are any; memory stays small.

    Raises:
        Usage: `wrong-passphrase`, `plain-sql`, or `no-passphrase`: the file is encrypted and none is configured.
        Corruption: `old-backup-damaged`: it is cut or damaged, or not a dump in the custom format.
        Unavailable: it cannot be read.
    """
    first, stream = _peeked(_read(path))
    encrypted = first.startswith(_SALTED)
    if encrypted:
        if passphrase is None:
            raise Usage(
                f"{path.name} is encrypted, and no passphrase is configured.",
                hint="Name the file it stands in: old_backups.passphrase_file.",
                code="no-passphrase",
            )
        first, stream = _peeked(_decrypted(path, stream, passphrase))
        if not first.startswith((_GZIP, _CUSTOM)) and not _is_sql(first):
            raise _wrong_passphrase(path)
    for _ in range(_LAYERS):
        if not first.startswith(_GZIP):
            break
        first, stream = _peeked(_unzipped(path, stream))
    if _is_sql(first):
        raise Usage(
            f"{path.name} is plain SQL, not pg_dump's custom format (pg_dump -F c): only that can be imported.",
            hint="Restore it with psql, once it is decrypted and unpacked: psql -d NAME -f FILE",
            code="plain-sql",
        )
    if not first.startswith(_CUSTOM):
        raise _damaged(path, "it is no dump in pg_dump's custom format (pg_dump -F c)")
    return stream


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                yield block
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read: {error.strerror}.", hint="Is its disk there?", code="old-backup-unreadable"
        ) from error


def _peeked(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, enough to tell what they begin, and everything from them on."""
    seen = b""
    for block in blocks:
        seen += block
        if len(seen) >= _BLOCK_BYTES:
            break
    return seen[:_BLOCK_BYTES], itertools.chain([seen] if seen else [], blocks)


def _decrypted(path: Path, blocks: Iterator[bytes], passphrase: bytes) -> Iterator[bytes]:
    head = b""
    for block in blocks:
        head += block
        if len(head) >= len(_SALTED) + _SALT_BYTES:
            break
    salt = head[len(_SALTED) : len(_SALTED) + _SALT_BYTES]
    if len(salt) < _SALT_BYTES:
        raise _damaged(path, "it is cut")
    derived = PBKDF2HMAC(SHA256(), _KEY_BYTES + _BLOCK_BYTES, salt, _ROUNDS).derive(passphrase)
    cipher = Cipher(algorithms.AES256(derived[:_KEY_BYTES]), modes.CBC(derived[_KEY_BYTES:])).decryptor()
    left, plain = b"", b""
    for block in itertools.chain([head[len(_SALTED) + _SALT_BYTES :]], blocks):
        left += block
        whole = len(left) - len(left) % _BLOCK_BYTES
        plain += cipher.update(left[:whole])
        left = left[whole:]
        # The last block holds the padding, and only the end says which one is the last.
        if len(plain) > _BLOCK_BYTES:
            yield plain[:-_BLOCK_BYTES]
            plain = plain[-_BLOCK_BYTES:]
    if left or not plain:
        raise _damaged(path, "it is cut")
    padding = plain[-1]
    if not 1 <= padding <= _BLOCK_BYTES or plain[-padding:] != bytes([padding]) * padding:
        raise _damaged(path, "its end is damaged or cut (bad decrypt)")
    yield plain[:-padding]


def _unzipped(path: Path, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Take one layer of gzip off; members may follow each other, and nothing else may."""
    member = zlib.decompressobj(wbits=31)
    for block in blocks:
        data = block
        while data:
            if member.eof:
                if not data.strip(b"\0"):
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                out = member.decompress(data, _READ_BYTES)
                if out:
                    yield out
                data = member.unconsumed_tail or member.unused_data
            except zlib.error as error:
                raise _damaged(path, f"its compressed content is damaged ({error})") from None
    if not member.eof:
        raise _damaged(path, "it is cut")


def _wrong_passphrase(path: Path) -> Usage:
    return Usage(
        f"{path.name} cannot be decrypted: the passphrase is not the one it was encrypted with.",
        hint="Is old_backups.passphrase_file the file that `openssl enc -pass file:` was given then?",
        code="wrong-passphrase",
    )


def _is_sql(first: bytes) -> bool:
    """Say whether a file that begins so is SQL as `pg_dump -F p` and people write it: it is whole, and psql reads it."""
    said = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    return said.startswith(_SQL) and said.decode("utf-8", "ignore").replace("\n", " ").replace("\r", " ").isprintable()


def _damaged(path: Path, what: str) -> Corruption:
    return Corruption(
        f"The old backup {path.name} cannot be used: {what}.",
        hint="Is there another copy of it? `sha256sum` says whether two are the same.",
        code="old-backup-damaged",
    )

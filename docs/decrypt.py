#!/usr/bin/env python3
"""Read a Pitstop repository without Pitstop: needs Python, `cryptography` and `zstandard`, a key and the folder.

    decrypt.py KEY REPOSITORY cat OBJECT            write an object's content to standard output
    decrypt.py KEY REPOSITORY extract BACKUP DIR    write a backup's archives to DIR: base.tar, <oid>.tar, …

KEY is a key file or a passphrase file, either is enough where the repository was wrapped with both. Where only AWS KMS or Azure
Key Vault has the key, it is a file with a line `ID BASE64` for each data key, as envelope.md ("Data keys") says how to get it.
OBJECT and BACKUP are paths in the repository, e.g. slips/7300000000000000001/backups/20261122T020000Z-base-7f3a[/manifest].
Extract with `tar -xpf`, WAL with `cat`. The format is specified in envelope.md; everything is verified, or this ends with 4.
"""

import base64
import hashlib
import json
import re
import struct
import sys
import zlib
from functools import lru_cache
from pathlib import Path

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CHUNK = 1024 * 1024 + 16


class Damaged(Exception):
    """An object is not what was written."""


def read_key(path):
    """Return what a key file, a passphrase file or a file of data keys may mean: (file key, passphrase, data keys)."""
    data = Path(path).read_bytes()
    passphrase = data.removesuffix(b"\n").removesuffix(b"\r") if data.endswith(b"\n") else data
    lines = [line.strip() for line in data.decode().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    pairs = (
        dict(line.split() for line in lines)
        if all(re.fullmatch("[0-9a-f]{32} [0-9A-Za-z+/=]{44}", x) for x in lines)
        else {}
    )
    key = b""
    if len(lines) == 1 and re.fullmatch("[0-9a-fA-F]{64}|[0-9A-Za-z+/]{43}=", lines[0]):
        key = bytes.fromhex(lines[0]) if len(lines[0]) == 64 else base64.b64decode(lines[0])
    return key, passphrase, {key_id: base64.b64decode(text) for key_id, text in pairs.items()}


@lru_cache
def stretched(passphrase, n, r, p, salt):
    """Return the key that scrypt makes of a passphrase."""
    return hashlib.scrypt(passphrase, salt=bytes.fromhex(salt), n=n, r=r, p=p, maxmem=2**27, dklen=32)


def data_key(repository, keys, key_id):
    """Unwrap a data key: AES-256-GCM, nonce first, bound to the canonical JSON of four fields; with the first form that opens."""
    own, passphrase, known = keys
    if key_id in known:
        return known[key_id]
    for path in sorted((repository / "keys" / key_id).glob("[0-9]*"), key=lambda p: int(p.name), reverse=True):
        try:
            fields = json.loads(path.read_bytes())
            key, label = own, b"pitstop key file v1\0"
            if fields["kind"] == "passphrase":
                key, label = stretched(passphrase, **fields["scrypt"]), b"pitstop passphrase v1\0"
            if (fields["key"], fields["kind"] in {"file", "passphrase"}) != (key_id, True) or hashlib.sha256(
                label + key
            ).hexdigest()[:16] != fields["by"]:
                continue
            bound = {name: fields[name] for name in ("format", "key", "kind", "by")}
            wrapped = base64.b64decode(fields["wrapped"], validate=True)
            return AESGCM(key).decrypt(
                wrapped[:12], wrapped[12:], json.dumps(bound, sort_keys=True, separators=(",", ":")).encode()
            )
        except (ValueError, KeyError, TypeError, InvalidTag):
            print(f"{path}: damaged; another form of the data key is tried", file=sys.stderr)
    raise Damaged(f"keys/{key_id}: no intact form that this key opens")


def unseal(repository, key, path):
    """Yield the content of the object's envelope, chunk by verified chunk."""
    with (repository / path).open("rb") as file:
        header = file.read(64)
        if header[:8] != b"PITSTOP\x01" or hashlib.sha256(header[:56]).digest()[:8] != header[56:]:
            raise Damaged(f"{path}: header")
        own = HKDF(SHA256(), 32, header[24:56], b"pitstop object v1").derive(
            data_key(repository, key, header[8:24].hex())
        )
        number, sealed = 0, file.read(CHUNK)
        while True:
            following = file.read(CHUNK)
            last = not following
            if last and number and len(sealed) <= 16:
                raise Damaged(f"{path}: chunk {number} is empty")
            nonce = number.to_bytes(11, "big") + bytes([last])
            try:
                yield AESGCM(own).decrypt(nonce, sealed, header + path.encode())
            except (InvalidTag, ValueError):
                raise Damaged(f"{path}: chunk {number}") from None
            if last:
                return
            number, sealed = number + 1, following


def content(repository, key, path):
    """Yield an object's pieces: each frame is codec, length of the piece, length of the frame, frame."""
    held = b""
    for chunk in unseal(repository, key, path):
        held += chunk
        while len(held) >= 9 and len(held) >= 9 + (lengths := struct.unpack(">BII", held[:9]))[2]:
            codec, size, stored = lengths
            frame, held = held[9 : 9 + stored], held[9 + stored :]
            if codec == 1:
                frame = zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
            elif codec == 2:
                frame = zlib.decompress(frame, 31)
            if len(frame) != size:
                raise Damaged(f"{path}: a piece has {len(frame)} bytes instead of {size}")
            yield frame
    if held:
        raise Damaged(f"{path}: ends within a frame")


def extract(repository, key, backup, folder):
    """Write each archive of a backup to a file, volumes in order, and compare the lengths with the manifest."""
    manifest = json.loads(b"".join(content(repository, key, f"{backup}/manifest")))
    volumes = f"{manifest['cluster']}/{manifest['system_id']}/volumes/{manifest['id']}"
    folder.mkdir(parents=True, exist_ok=True)
    for archive in manifest["archives"]:
        target = folder / (archive["name"] + (".tar" if archive["index_sha256"] else ""))
        with target.open("xb") as file:
            for number, (size, *_) in enumerate(archive["volumes"]):
                path = f"{volumes}/{archive['name']}/{number:06d}"
                if sum(file.write(piece) for piece in content(repository, key, path)) != size:
                    raise Damaged(f"{path}: is not of {size} bytes")
        where = archive["location"] or "the data directory"
        print(f"{target}  {archive['bytes_read']} bytes, of {where}", file=sys.stderr)


def main(arguments):
    """Run one command; 0 done, 2 wrong usage, 4 damage found."""
    if len(arguments) < 4 or (arguments[2], len(arguments)) not in {("cat", 4), ("extract", 5)}:
        print(__doc__, file=sys.stderr)
        return 2
    key, repository = read_key(arguments[0]), Path(arguments[1])
    try:
        if arguments[2] == "cat":
            for piece in content(repository, key, arguments[3]):
                sys.stdout.buffer.write(piece)
        else:
            extract(repository, key, arguments[3].rstrip("/"), Path(arguments[4]))
    except (Damaged, InvalidTag, zstandard.ZstdError, zlib.error) as error:
        print(f"Damaged: {error or 'a wrapped data key'}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

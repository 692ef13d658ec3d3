#!/usr/bin/env python3
"""Read a Pitstop repository without Pitstop: needs Python, `cryptography` and `zstandard`, a key and the folder.

    decrypt.py KEY REPOSITORY cat OBJECT            write an object's content to standard output
    decrypt.py KEY REPOSITORY extract BACKUP DIR    write a backup's archives to DIR: base.tar, <oid>.tar, …

KEY is a key file or a passphrase file, either is enough where the repository was wrapped with both. Where only AWS KMS or Azure
Key Vault has the key, it is a file with a line `ID BASE64` for each data key, as envelope.md ("Data keys") says how to get it.
OBJECT and BACKUP are paths in the repository, e.g. slips/7300000000000000001/backups/20261122T020000Z-base-7f3a[/manifest];
of a BACKUP that one cluster alone has, its id is enough. Extract with `tar -xpf`, WAL with `cat`.
The format is specified in envelope.md, and everything is verified. Ends with 0 when done, 2 for wrong usage or a key that does not
open what is asked for, 4 for damage, 1 where the system says no (a full disk). What `extract` did not finish has no final name.
"""

import base64
import hashlib
import json
import os
import re
import struct
import sys
import zlib
from functools import lru_cache
from pathlib import Path

try:
    import zstandard
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as error:
    print(
        f"Python has no module {error.name}. Install it: python3 -m pip install cryptography zstandard", file=sys.stderr
    )
    sys.exit(2)

CHUNK = 1024 * 1024 + 16


class Damaged(Exception):
    """An object is not what was written."""


class Usage(Exception):
    """It cannot be done as it was asked for; the message says what to write instead."""


class WrongKey(Usage):
    """The key is sound, and opens no form of a data key that is asked for."""


def read_key(path):
    """Return what a key file, a passphrase file or a file of data keys may mean: (file key, passphrase, data keys)."""
    try:
        data = Path(path).read_bytes()
        data.decode()
    except OSError as error:
        raise Usage(f"The key {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Usage(
            f"The key {path} is not text, so it is no key file, passphrase file or file of data keys."
        ) from None
    if not data.strip():
        raise Usage(f"The key {path} is empty.")
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
    damaged, others = [], []
    for path in sorted((repository / "keys" / key_id).glob("[0-9]*"), key=lambda p: int(p.name), reverse=True):
        try:
            fields = json.loads(path.read_bytes())
            key, label = own, b"pitstop key file v1\0"
            if fields["kind"] == "passphrase":
                key, label = stretched(passphrase, **fields["scrypt"]), b"pitstop passphrase v1\0"
            if fields["key"] != key_id:
                raise ValueError("a form of another data key")
            by = hashlib.sha256(label + key).hexdigest()[:16]
            if fields["kind"] not in {"file", "passphrase"} or by != fields["by"]:
                others.append(f"{fields['kind']} {fields['by']}")
                continue
            bound = {name: fields[name] for name in ("format", "key", "kind", "by")}
            wrapped = base64.b64decode(fields["wrapped"], validate=True)
            return AESGCM(key).decrypt(
                wrapped[:12], wrapped[12:], json.dumps(bound, sort_keys=True, separators=(",", ":")).encode()
            )
        except (ValueError, KeyError, TypeError, OverflowError, InvalidTag):
            print(f"{path}: damaged; another form of the data key is tried", file=sys.stderr)
            damaged.append(path)
    if known and not damaged:
        raise WrongKey(f"The file of data keys has no line for the data key {key_id}.")
    if not damaged and not others:
        raise Damaged(f"keys/{key_id}: is missing, so nothing opens what is sealed with that data key")
    if damaged:
        raise Damaged(f"keys/{key_id}: no intact form that this key opens")
    raise WrongKey(
        f"This key opens no form of the data key {key_id}, which is wrapped by {', '.join(sorted(others))}."
        " Is it an older or another installation's key, or a passphrase with a typo?"
    )


def unseal(repository, key, path):
    """Yield the content of the object's envelope, chunk by verified chunk."""
    try:
        file = (repository / path).open("rb")
    except FileNotFoundError:
        raise Damaged(f"{path}: is missing") from None
    with file:
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


def inside(repository, path):
    """Return a path as it is in the repository, since that is verified too: not with `./`, nor the folder in front of it."""
    asked, top = Path(os.path.normpath(path)), Path(os.path.normpath(repository))
    if asked.is_relative_to(top) and (asked.is_absolute() or not (top / asked).exists()):
        asked = asked.relative_to(top)
    if asked.is_absolute() or ".." in asked.parts:
        raise Usage(f"{path} is not in {repository}: write a path in it, as <cluster>/<system id>/backups/<id>.")
    return asked.as_posix()


def find_backup(repository, asked):
    """Return the folder of a finished backup, asked for by its path, that of its manifest, or its id alone."""
    path = inside(repository, asked.rstrip("/").removesuffix("/manifest"))
    where = [path] if "/" in path else [f"{p.relative_to(repository)}/{path}" for p in repository.glob("*/*/backups")]
    found = sorted(folder for folder in where if (repository / folder / "manifest").is_file())
    if len(found) > 1:
        raise Usage(f"More than one cluster has a backup {asked}: write {' or '.join(found)}.")
    if not found:
        manifests = sorted(repository.glob("*/*/backups/*/manifest"), key=lambda p: p.parent.name)
        known = "".join(f"\n  {p.parent.relative_to(repository)}" for p in manifests[-10:]) or " none"
        raise Usage(f"There is no finished backup {asked} in {repository}. The newest there are:{known}")
    return found[0]


def extract(repository, key, backup, folder):
    """Write each archive of a backup to a file, volumes in order, and compare the lengths with the manifest."""
    manifest = json.loads(b"".join(content(repository, key, f"{backup}/manifest")))
    volumes = f"{manifest['cluster']}/{manifest['system_id']}/volumes/{manifest['id']}"
    targets = {
        one["name"]: folder / (one["name"] + (".tar" if one["index_sha256"] else "")) for one in manifest["archives"]
    }
    unfinished = {name: target.with_name(target.name + ".part") for name, target in targets.items()}
    for there in (*targets.values(), *unfinished.values()):
        if there.exists():
            raise Usage(f"There is a {there} already, and it is not overwritten: name another folder, or take it away.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Usage(f"The folder {folder} cannot be made: {error.strerror}.") from None
    for archive in manifest["archives"]:
        target, part = targets[archive["name"]], unfinished[archive["name"]]
        file = part.open("xb")
        try:
            with file:
                for number, (size, *_) in enumerate(archive["volumes"]):
                    path = f"{volumes}/{archive['name']}/{number:06d}"
                    if sum(file.write(piece) for piece in content(repository, key, path)) != size:
                        raise Damaged(f"{path}: is not of {size} bytes")
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        where = archive["location"] or "the data directory"
        print(f"{target}  {archive['bytes_read']} bytes, of {where}", file=sys.stderr)


def cat(repository, key, path):
    """Write an object's content to standard output."""
    path = inside(repository, path)
    if not (repository / path).is_file():
        raise Usage(f"There is no object {path} in {repository}. Is that the folder which `keys` lies in?")
    with os.fdopen(1, "wb", closefd=False) as out:
        for piece in content(repository, key, path):
            out.write(piece)


def main(arguments):
    """Run one command; 0 done, 1 the system said no, 2 wrong usage or key, 4 damage found."""
    if len(arguments) < 4 or (arguments[2], len(arguments)) not in {("cat", 4), ("extract", 5)}:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        key, repository = read_key(arguments[0]), Path(arguments[1])
        if not repository.is_dir():
            raise Usage(f"There is no folder {repository}. Is the repository mounted, its path right?")
        if arguments[2] == "cat":
            cat(repository, key, arguments[3])
        else:
            extract(repository, key, find_backup(repository, arguments[3]), Path(arguments[4]))
    except Usage as error:
        print(error, file=sys.stderr)
        return 2
    except (Damaged, zstandard.ZstdError, zlib.error) as error:
        print(f"Damaged: {error}", file=sys.stderr)
        return 4
    except OSError as error:
        print(f"Not done: {error.filename or 'writing'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

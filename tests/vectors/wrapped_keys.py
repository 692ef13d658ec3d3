"""Make the vectors of wrapped data keys: forms as they are stored, what opens them, and those that must not open."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bot.repository.keys.form import WrappedKey, bound_to, encode

KEY_ID = "0192f3a4b5c60000000000000000a001"
DATA_KEY = bytes(31) + b"\x01"
FILE_KEY = hashlib.sha256(b"a key file of the tests").digest()
PASSPHRASE = "correct horse battery stäple"
SCRYPT = {"n": 1024, "p": 2, "r": 8, "salt": bytes(range(16)).hex()}
VAULT = hashlib.sha256(b"what a vault unwraps").digest()
URL = "https://tests.vault.azure.net/keys/pitstop"
NONCE = bytes(range(12))
PATH = f"keys/{KEY_ID}/1"


def wrapped_keys() -> list[dict[str, Any]]:
    """Return all of them. Each has `path`, `form` (the object's text), `with` (what is at hand) and what it `opens` to, or `fails`:
    `damaged` (the form was altered) or `other` (nothing at hand made it)."""
    file, phrase, vault = by_file(FILE_KEY), by_passphrase(PASSPHRASE, SCRYPT), by_vault()
    hand = {"key_file": FILE_KEY.hex(), "passphrase": PASSPHRASE}
    vault_hand = {"vault": {"url": URL, "unwraps_to": VAULT.hex()}}
    other = {"key_file": hashlib.sha256(b"another").hexdigest(), "passphrase": "another passphrase"}
    return [
        vector("a key file", file, hand),
        vector("a passphrase", phrase, hand),
        vector("a key vault, which unwraps all but the last 60 bytes", vault, vault_hand),
        vector("another key file", file, other, fails="other"),
        vector("another passphrase", phrase, other, fails="other"),
        vector("a kind unknown here", WrappedKey(KEY_ID, "abacus", "0" * 16, b"x", {"beads": 7}), hand, fails="other"),
        vector("a form in another key's folder", file, hand, path="keys/0192f3a4b5c60000000000000000a002/1", fails="damaged"),
        vector("a form that was given another key's id", moved(file), hand, path=f"keys/{'0' * 32}/1", fails="damaged"),
        vector("a wrapped key that was altered, with a check that fits", altered(file), hand, fails="damaged"),
        vector("the same of a passphrase", altered(phrase), hand, fails="damaged"),
        vector("the same of a vault", altered(vault), vault_hand, fails="damaged"),
        vector("another salt", salted(phrase), hand, fails="other"),
        vector("costs that nobody bears", costly(phrase), hand, fails="other"),
        vector("a check that does not fit", file, hand, text=stored(file).replace('"check":"', '"check":"0'), fails="damaged"),
        vector("a blank more", file, hand, text=stored(file).replace(",", ", ", 1), fails="damaged"),
        vector("no line end", file, hand, text=stored(file).rstrip("\n"), fails="damaged"),
        vector("cut off", file, hand, text=stored(file)[:100], fails="damaged"),
        vector("nothing", file, hand, text="", fails="damaged"),
    ]  # fmt: skip


def by_file(key: bytes) -> WrappedKey:
    """Return the data key wrapped with a key file."""
    by = hashlib.sha256(b"pitstop key file v1\0" + key).hexdigest()[:16]
    return WrappedKey(KEY_ID, "file", by, sealed(key, "file", by))


def by_passphrase(text: str, costs: Mapping[str, Any]) -> WrappedKey:
    """Return the data key wrapped with a passphrase."""
    key = hashlib.scrypt(
        text.encode(), salt=bytes.fromhex(costs["salt"]), n=costs["n"], r=costs["r"], p=costs["p"], dklen=32
    )
    by = hashlib.sha256(b"pitstop passphrase v1\0" + key).hexdigest()[:16]
    return WrappedKey(KEY_ID, "passphrase", by, sealed(key, "passphrase", by), {"scrypt": dict(costs)})


def by_vault() -> WrappedKey:
    """Return the data key wrapped with a key that a vault wrapped; its RSA ciphertext is made up, since no vault is asked."""
    by = hashlib.sha256(b"pitstop azure key vault v1\0" + URL.encode()).hexdigest()[:16]
    front = hashlib.shake_256(b"an RSA ciphertext").digest(256)
    name = f"{URL}/0123456789abcdef0123456789abcdef"
    return WrappedKey(KEY_ID, "azure-key-vault", by, front + sealed(VAULT, "azure-key-vault", by), {"name": name})


def sealed(key: bytes, kind: str, by: str) -> bytes:
    """Return nonce, ciphertext and tag."""
    return NONCE + AESGCM(key).encrypt(NONCE, DATA_KEY, bound_to(KEY_ID, kind, by))


def altered(form: WrappedKey) -> WrappedKey:
    """Return a form whose last bit was flipped, with a fresh check."""
    wrapped = form.wrapped[:-1] + bytes([form.wrapped[-1] ^ 1])
    return WrappedKey(form.key, form.kind, form.by, wrapped, form.more)


def moved(form: WrappedKey) -> WrappedKey:
    """Return a form passed off as another data key's."""
    return WrappedKey("0" * 32, form.kind, form.by, form.wrapped, form.more)


def salted(form: WrappedKey) -> WrappedKey:
    """Return a passphrase's form with another salt."""
    return WrappedKey(form.key, form.kind, form.by, form.wrapped, {"scrypt": {**SCRYPT, "salt": "ff" * 16}})


def costly(form: WrappedKey) -> WrappedKey:
    """Return a passphrase's form whose costs would take a gigabyte."""
    return WrappedKey(form.key, form.kind, form.by, form.wrapped, {"scrypt": {**SCRYPT, "n": 2**20}})


def stored(form: WrappedKey) -> str:
    """Return a form as it is stored."""
    return encode(form).decode()


def vector(
    name: str, form: WrappedKey, hand: dict[str, Any], *, path: str = PATH, text: str | None = None, fails: str = ""
) -> dict[str, Any]:
    """Return one vector."""
    made = {"name": name, "path": path, "form": stored(form) if text is None else text, "with": hand}
    return {**made, "fails": fails} if fails else {**made, "opens": DATA_KEY.hex()}

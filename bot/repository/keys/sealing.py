"""AES-256-GCM over one data key, under a key of 32 bytes: a random nonce, then ciphertext and tag."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
SEALED_BYTES = NONCE_BYTES + 32 + 16


def seal_key(key: bytes, data_key: bytes, bound: bytes) -> bytes:
    """Return a random nonce and the encrypted data key; `bound` is authenticated with it."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data_key, bound)


def open_key(key: bytes, sealed: bytes, bound: bytes) -> bytes | None:
    """Return the data key, or None when `sealed`, `bound` or `key` is not what it was sealed with."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        return None

"""Build an object from a vector's recipe: chunks to seal one by one, then the damage to do; used by the maker and the tests."""

from __future__ import annotations

import hashlib
from typing import Any

from bot.repository.envelope import CHECK_BYTES, HEADER_BYTES, MAGIC, SEALED_CHUNK_BYTES, Cipher, Header


def build(vector: dict[str, Any], data_keys: dict[str, str]) -> bytes:
    """Return the object's bytes, damaged as the vector says."""
    header = Header(vector["key_id"], bytes.fromhex(vector["salt"]))
    cipher = Cipher(header, bytes.fromhex(data_keys[vector["key_id"]]), vector["path"])
    room = memoryview(bytearray(SEALED_CHUNK_BYTES))
    sealed = [
        bytes(cipher.close(number, bytes.fromhex(chunk["byte"]) * chunk["bytes"], room, last=chunk["last"]))
        for number, chunk in enumerate(vector["chunks"])
    ]
    return damaged(header.as_bytes() + b"".join(sealed), vector.get("damage", {}))


def content(vector: dict[str, Any]) -> bytes:
    """Return what was sealed."""
    return b"".join(bytes.fromhex(chunk["byte"]) * chunk["bytes"] for chunk in vector["chunks"])


def damaged(data: bytes, damage: dict[str, Any]) -> bytes:
    """Return `data` after one kind of damage: flip_bit, cut_to, append, swap_chunks, repeat_chunk or version."""
    chunks = [data[at : at + SEALED_CHUNK_BYTES] for at in range(HEADER_BYTES, len(data), SEALED_CHUNK_BYTES)]
    if "flip_bit" in damage:
        byte, bit = divmod(damage["flip_bit"], 8)
        return data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]
    if "cut_to" in damage:
        return data[: damage["cut_to"]]
    if "append" in damage:
        return data + bytes.fromhex(damage["append"])
    if "swap_chunks" in damage:
        a, b = damage["swap_chunks"]
        chunks[a], chunks[b] = chunks[b], chunks[a]
    elif "repeat_chunk" in damage:
        chunks.insert(damage["repeat_chunk"], chunks[damage["repeat_chunk"]])
    front = data[:HEADER_BYTES]
    if "version" in damage:
        front = front[: len(MAGIC)] + bytes([damage["version"]]) + front[len(MAGIC) + 1 : HEADER_BYTES - CHECK_BYTES]
        front += hashlib.sha256(front).digest()[:CHECK_BYTES]
    return front + b"".join(chunks)

"""Write envelope.json: `python -m tests.vectors.make_envelope`. Deterministic; keys and salts are fixed, for tests only."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from bot.repository.envelope import CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES
from tests.vectors.envelope_objects import build, content
from tests.vectors.wrapped_keys import wrapped_keys

TARGET = Path(__file__).with_name("envelope.json")
DATA_KEYS = {
    "0192f3a4b5c60000000000000000a001": "00" * 31 + "01",
    "0192f3a4b5c60000000000000000a002": hashlib.sha256(b"second test key").hexdigest(),
}
FIRST, SECOND = DATA_KEYS
PATH = "slips/7300000000000000001/volumes/20261122T020000Z-base-7f3a/base/000000"
SHOWN_BYTES = 256
MIB = CHUNK_BYTES


def chunk(size: int, *, last: bool, byte: str = "61") -> dict[str, Any]:
    """Return the recipe of one sealed chunk: `size` times `byte`."""
    return {"byte": byte, "bytes": size, "last": last}


ONE = [chunk(5, last=True)]
TWO = [chunk(MIB, last=False), chunk(5, last=True, byte="62")]
THREE = [chunk(MIB, last=False), chunk(MIB, last=False, byte="62"), chunk(1, last=True, byte="63")]
END_OF_TWO = HEADER_BYTES + SEALED_CHUNK_BYTES + 5 + TAG_BYTES


def opening() -> list[dict[str, Any]]:
    """Return the vectors that open."""
    shapes = {
        "empty": [chunk(0, last=True)],
        "five bytes": ONE,
        "exactly one chunk": [chunk(MIB, last=True)],
        "one chunk and a byte": [chunk(MIB, last=False), chunk(1, last=True, byte="62")],
        "exactly two chunks": [chunk(MIB, last=False), chunk(MIB, last=True, byte="62")],
        "three chunks": THREE,
    }
    return [vector(name, chunks, None) for name, chunks in shapes.items()]


def failing() -> list[dict[str, Any]]:
    """Return the vectors that must fail, each saying where."""
    header = [("magic", 3), ("version", 7), ("key id", 12), ("salt", 40), ("check", 60)]
    body = [
        ("content of chunk 0", HEADER_BYTES + 100, 0),
        ("tag of chunk 0", HEADER_BYTES + MIB + 3, 0),
        ("content of the last chunk", END_OF_TWO - TAG_BYTES - 1, 1),
        ("tag of the last chunk", END_OF_TWO - 1, 1),
    ]
    flips = [vector(f"bit flipped in the {n}", ONE, at("header"), damage={"flip_bit": b * 8 + 2}) for n, b in header]
    flips += [vector(f"bit flipped in the {n}", TWO, at("chunk", c), damage={"flip_bit": b * 8}) for n, b, c in body]
    return [*flips, *cut_and_moved(), *forged(), *misplaced()]


def cut_and_moved() -> list[dict[str, Any]]:
    """Return truncations, additions and changes of order."""
    boundary = HEADER_BYTES + SEALED_CHUNK_BYTES
    return [
        vector("cut to nothing", ONE, at("header"), damage={"cut_to": 0}),
        vector("cut within the header", ONE, at("header"), damage={"cut_to": 40}),
        vector("cut after the header", ONE, at("chunk", 0), damage={"cut_to": HEADER_BYTES}),
        vector("cut within the first chunk", TWO, at("chunk", 0), damage={"cut_to": HEADER_BYTES + 1000}),
        vector("cut between chunks", TWO, at("chunk", 0, says="cut off after"), damage={"cut_to": boundary}),
        vector("cut within the second chunk", TWO, at("chunk", 1), damage={"cut_to": boundary + 3}),
        vector("cut within the last tag", TWO, at("chunk", 1), damage={"cut_to": END_OF_TWO - 1}),
        vector("two chunks exchanged", THREE, at("chunk", 0), damage={"swap_chunks": [0, 1]}),
        vector("first and last chunk exchanged", THREE, at("chunk", 0), damage={"swap_chunks": [0, 2]}),
        vector("a chunk repeated", TWO, at("chunk", 1), damage={"repeat_chunk": 0}),
        vector("a byte appended", ONE, at("chunk", 0), damage={"append": "00"}),
        vector("a byte appended to a full chunk", [chunk(MIB, last=True)], at("chunk", 0, says="continues after"),
               damage={"append": "00"}),
        vector("zeros appended to a short chunk", TWO, at("chunk", 1), damage={"append": "00" * 64}),
    ]  # fmt: skip


def forged() -> list[dict[str, Any]]:
    """Return objects sealed with the right key in ways that no writer may."""
    return [
        vector("no chunk is marked as the last", [chunk(5, last=False)], at("chunk", 0, says="cut off after")),
        vector("a chunk before the last is marked", [chunk(MIB, last=True), chunk(5, last=True)],
               at("chunk", 0, says="continues after")),
        vector("an empty chunk after a full one", [chunk(MIB, last=False), chunk(0, last=True)],
               at("chunk", 1, says="empty chunk")),
        vector("another version of the envelope", ONE, at("header", says="version 2"), damage={"version": 2}),
    ]  # fmt: skip


def misplaced() -> list[dict[str, Any]]:
    """Return sound objects that are read under another path or with another key."""
    other = PATH.replace("000000", "000001")
    return [
        vector("read under another path", ONE, at("chunk", 0), read_as=other),
        vector("read under a longer path", ONE, at("chunk", 0), read_as=PATH + "0"),
        vector("read with another key of that id", ONE, at("chunk", 0), read_with={FIRST: DATA_KEYS[SECOND]}),
        vector("its key is not there", ONE, at("key"), read_with={SECOND: DATA_KEYS[SECOND]}),
    ]


def at(kind: str, number: int | None = None, *, says: str = "") -> dict[str, Any]:
    """Return where reading fails: `header`, `key`, or `chunk` with its number; `says` is a part of Pitstop's sentence."""
    return {"at": kind, **({"chunk": number} if number is not None else {}), **({"says": says} if says else {})}


def vector(name: str, chunks: list[dict[str, Any]], fails: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Return one vector with its object's size and hash, and for small objects the bytes."""
    salt = hashlib.sha256(f"salt of {name}".encode()).hexdigest()
    made: dict[str, Any] = {"name": name, "path": PATH, "key_id": FIRST, "salt": salt, "chunks": chunks, **more}
    data = build(made, DATA_KEYS)
    made |= {"object_bytes": len(data), "object_sha256": hashlib.sha256(data).hexdigest()}
    if len(data) <= SHOWN_BYTES:
        made["object"] = data.hex()
    if fails is not None:
        return {**made, "fails": fails}
    return {**made, "content_sha256": hashlib.sha256(content(made)).hexdigest()}


def document() -> str:
    """Return the whole file."""
    made = {
        "format": "docs/envelope.md, version 1",
        "data_keys": DATA_KEYS,
        "vectors": [*opening(), *failing()],
        "wrapped_keys": wrapped_keys(),
    }
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document())

"""The one byte form of a JSON value: what hashes are made of and records are stored as."""

from __future__ import annotations

import json


def canonical_json(value: object) -> bytes:
    """Return the one byte form of a JSON value: sorted keys, no spaces, UTF-8; no floats belong in it.

    Bytes that were no UTF-8 where they came from (a Latin-1 comment in postgresql.conf), Python's lone surrogates, are
    written as JSON's escapes and read back the same.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")

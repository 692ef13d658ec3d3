"""One wrapped form of a data key, as it is stored: JSON with a check, which tells damage from a wrong key. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.model.canonical import canonical_json
from bot.repository.damage import ObjectDamaged

FORMAT = 1
_COMMON = frozenset({"format", "key", "kind", "by", "wrapped", "check"})


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One object below `keys/`: the data key `key`, encrypted by the wrapping key `by` of kind `kind`.

    `more` is what the kind keeps beside it: a passphrase its salt and costs, a key service the wrapping key's name.
    """

    key: str
    kind: str
    by: str
    wrapped: bytes
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bound(self) -> bytes:
        """What the wrapped data key is authenticated with."""
        return bound_to(self.key, self.kind, self.by)


def bound_to(key: str, kind: str, by: str) -> bytes:
    """Return what a wrapped data key is authenticated with: its id, and who wrapped it."""
    return canonical_json({"format": FORMAT, "key": key, "kind": kind, "by": by})


def encode(wrapped: WrappedKey) -> bytes:
    """Return a wrapped data key as it is stored."""
    fields = _fields(wrapped)
    return canonical_json({**fields, "check": _check(fields)}) + b"\n"


def decode(data: bytes, path: str) -> WrappedKey:
    """Read what `encode` wrote.

    Raises:
        ObjectDamaged: it is not exactly that.
    """
    try:
        fields = json.loads(data)
        wrapped = base64.b64decode(fields["wrapped"], validate=True)
        more = {name: value for name, value in fields.items() if name not in _COMMON}
        found = WrappedKey(fields["key"], fields["kind"], fields["by"], wrapped, more)
        same = encode(found) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise ObjectDamaged(path, "it cannot be read as a wrapped data key") from None
    if not same:
        raise ObjectDamaged(path, "its check does not fit")
    if found.key != path.split("/")[1]:
        raise ObjectDamaged(path, f"it holds the data key {found.key}")
    return found


def number_of(name: str) -> int:
    """Return the number in a form's name; 0 for what is not one."""
    return int(name) if name.isdecimal() else 0


def _fields(wrapped: WrappedKey) -> dict[str, Any]:
    return {
        **wrapped.more,
        "format": FORMAT,
        "key": wrapped.key,
        "kind": wrapped.kind,
        "by": wrapped.by,
        "wrapped": base64.b64encode(wrapped.wrapped).decode(),
    }


def _check(fields: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(fields)).hexdigest()

"""The data keys of one repository: stored wrapped, opened with the key from elsewhere, the newest used for writing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass

from bot.errors import Conflict, Corruption, Usage
from bot.model.plans import canonical_json
from bot.repository.damage import ObjectDamaged
from bot.repository.envelope import KEY_BYTES, KEY_ID_BYTES
from bot.repository.keys import KeyWrapper
from bot.repository.layout import KEYS, key_folder
from bot.repository.stores import Store

FORMAT = 1


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One object below `keys/`: the data key `key`, encrypted by the wrapping key `by` of kind `kind`."""

    key: str
    kind: str
    by: str
    wrapped: bytes


class KeyRing:
    """The data keys of one repository. Thread-safe; keys made elsewhere meanwhile are found when they are needed."""

    def __init__(self, store: Store, wrapper: KeyWrapper) -> None:
        self._store = store
        self._wrapper = wrapper
        self._lock = threading.Lock()
        self._keys: dict[str, bytes] = {}
        self._current: str | None = None

    def current(self) -> tuple[str, bytes]:
        """Return id and key that new objects are sealed with: the newest when this was first asked.

        Raises:
            Usage: `no-data-key`, or those of `key`.
        """
        with self._lock:
            if self._current is None:
                ids = self.ids()
                if not ids:
                    raise Usage(
                        f"The repository {self._store.url} has no data key yet.",
                        hint="Run `pitstop keys init`.",
                        code="no-data-key",
                    )
                self._open(ids[-1])
                self._current = ids[-1]
            return self._current, self._keys[self._current]

    def key(self, key_id: str) -> bytes:
        """Return a data key.

        Raises:
            Usage: `unknown-data-key`, the repository has no such key; `wrong-key`, the key file does not open it.
            ObjectDamaged: its wrapped form is damaged.
        """
        with self._lock:
            if key_id not in self._keys:
                self._open(key_id)
            return self._keys[key_id]

    def ids(self) -> list[str]:
        """Return the ids of all data keys, oldest first."""
        return self._store.children(KEYS)

    def create(self) -> str:
        """Make a data key, store it wrapped, prove that it opens, and return its id.

        Safe beside another process doing the same: both keys are then in the repository, and either is found by all.
        """
        # The id begins with the time in milliseconds, so that the newest key sorts last.
        key_id = (int(time.time() * 1000).to_bytes(6, "big") + secrets.token_bytes(KEY_ID_BYTES - 6)).hex()
        data_key = secrets.token_bytes(KEY_BYTES)
        wrapped = self._wrapper.wrap(data_key, bound_to(key_id, self._wrapper.kind, self._wrapper.id))
        body = encode(WrappedKey(key_id, self._wrapper.kind, self._wrapper.id, wrapped))
        try:
            self._store.put(f"{key_folder(key_id)}/1", [body])
        except Conflict:
            raise Corruption(f"Two data keys were given the same id {key_id}.", code="key-id-collision") from None
        if self.key(key_id) != data_key:
            raise ObjectDamaged(f"{key_folder(key_id)}/1", "it does not read back as it was written")
        return key_id

    def prove(self, key_id: str) -> None:
        """Open a data key from the store again, as a newcomer would.

        Raises:
            Usage, ObjectDamaged: as `key`.
        """
        with self._lock:
            self._open(key_id)

    def _open(self, key_id: str) -> None:
        """Open a key with any of its intact wrapped forms, newest first."""
        damage: ObjectDamaged | None = None
        others: set[str] = set()
        for name in sorted(self._store.children(key_folder(key_id)), key=_number, reverse=True):
            path = f"{key_folder(key_id)}/{name}"
            try:
                found = decode(self._store.read(path), path)
                if (found.kind, found.by) == (self._wrapper.kind, self._wrapper.id):
                    self._keys[key_id] = self._unwrap(found, path)
                    return
                others.add(found.by)
            except ObjectDamaged as error:
                damage = damage or error
        if damage is not None:
            raise damage
        raise self._unopened(key_id, others)

    def _unwrap(self, found: WrappedKey, path: str) -> bytes:
        key = self._wrapper.unwrap(found.wrapped, bound_to(found.key, found.kind, found.by))
        if key is None or len(key) != KEY_BYTES:
            raise ObjectDamaged(path, "the wrapped data key in it cannot be opened with the key that wrapped it")
        return key

    def _unopened(self, key_id: str, others: set[str]) -> Usage:
        if not others:
            return Usage(
                f"The data key {key_id} is not in the repository {self._store.url}.",
                hint=f"Was {key_folder(key_id)} deleted? Bring it back from a copy of the repository.",
                code="unknown-data-key",
            )
        return Usage(
            f"The key in {self._wrapper.source} (id {self._wrapper.id}) does not open the repository {self._store.url}: "
            f"its data key {key_id} is wrapped with {' and '.join(sorted(others))}.",
            hint="Is it the key file of another installation? The first line of the right one names its id.",
            code="wrong-key",
        )


def bound_to(key: str, kind: str, by: str) -> bytes:
    """Return what a wrapped data key is authenticated with: its id, and who wrapped it."""
    return canonical_json({"format": FORMAT, "key": key, "kind": kind, "by": by})


def encode(wrapped: WrappedKey) -> bytes:
    """Return a wrapped data key as it is stored: JSON with a check, which tells damage from a wrong key."""
    fields = _fields(wrapped)
    return canonical_json({**fields, "check": _check(fields)}) + b"\n"


def decode(data: bytes, path: str) -> WrappedKey:
    """Read what `encode` wrote.

    Raises:
        ObjectDamaged: it is not exactly that.
    """
    try:
        fields = json.loads(data)
        found = WrappedKey(
            fields["key"], fields["kind"], fields["by"], base64.b64decode(fields["wrapped"], validate=True)
        )
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise ObjectDamaged(path, "it cannot be read as a wrapped data key") from None
    if encode(found) != data:
        raise ObjectDamaged(path, "its check does not fit")
    if found.key != path.split("/")[1]:
        raise ObjectDamaged(path, f"it holds the data key {found.key}")
    return found


def _fields(wrapped: WrappedKey) -> dict[str, object]:
    return {
        "format": FORMAT,
        "key": wrapped.key,
        "kind": wrapped.kind,
        "by": wrapped.by,
        "wrapped": base64.b64encode(wrapped.wrapped).decode(),
    }


def _check(fields: dict[str, object]) -> str:
    return hashlib.sha256(canonical_json(fields)).hexdigest()


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else 0

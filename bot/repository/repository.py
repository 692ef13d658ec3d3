"""One repository: sealed objects in a store, and the clusters kept in it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bot.errors import Conflict, Corruption, Refused, Usage
from bot.model.canonical import canonical_json
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.wal import DEFAULT_SEGMENT_BYTES
from bot.repository import envelope, layout
from bot.repository.cluster import ClusterRepository
from bot.repository.codec import Buffer, Codec, unframe
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.keys.lost import KeyLost, KeyUnopened
from bot.repository.keys.ring import KeyRing
from bot.repository.stores import Store

Told = Callable[[ObjectDamaged | ObjectMissing | KeyUnopened, str], None]


def _no_word(_damage: ObjectDamaged | ObjectMissing | KeyUnopened, _name: str) -> None:
    """Tell nobody."""


class Repository:
    """An open repository. Thread-safe.

    Attributes:
        name: as in the configuration.
        store: where its objects are.
        keys: its data keys.
        codec: what new objects are compressed with.
        others: repositories that may hold the same objects; what is damaged here is read there.
        told: called with the damage, or the data key that does not open, and the name of the repository that had it whole.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        keys: KeyRing,
        codec: Codec,
        others: Sequence[Repository] = (),
        told: Told = _no_word,
    ) -> None:
        self.name = name
        self.store = store
        self.keys = keys
        self.codec = codec
        self.others = tuple(others)
        self.told = told

    def beside(self, others: Sequence[Repository], told: Told) -> Repository:
        """Return this repository, with others beside it that may hold the same objects."""
        return Repository(self.name, self.store, self.keys, self.codec, others, told)

    def seal(self, path: str, chunks: Iterable[Buffer]) -> int:
        """Encrypt `chunks` into a new object, and return its size as stored.

        Raises:
            Conflict: `object-exists`; the object is untouched.
        """
        return self.store.put(path, self.sealed(path, chunks))

    def unseal(self, path: str) -> Iterator[bytes]:
        """Yield an object's content, chunk by verified chunk. Only when it ends without an error was the object whole.

        Raises:
            ObjectMissing: at the call.
            ObjectDamaged: naming object and chunk.
            Usage: its data key is not in this repository.
        """
        return envelope.unseal(self.store.get(path), path=path, key_of=self.key_of(path))

    def key_of(self, path: str) -> envelope.KeyOf:
        """Return what gives the data key of the object at `path`; an error names the object."""
        return lambda key_id: self.keys.key(key_id, path)

    def sealed(self, path: str, chunks: Iterable[Buffer]) -> Iterator[memoryview]:
        """Yield the bytes of the object that would hold `chunks` at `path`; each block is valid until the next is asked for."""
        key_id, data_key = self.keys.current()
        salt = secrets.token_bytes(envelope.SALT_BYTES)
        return envelope.seal_in_place(chunks, path=path, key_id=key_id, data_key=data_key, salt=salt)

    def put_frames(self, path: str, frames: Iterable[bytes]) -> str:
        """Seal frames of `Codec.frame` into a new object, and return the SHA-256 (hex) of the object."""
        digest = hashlib.sha256()

        def watched() -> Iterator[memoryview]:
            for block in self.sealed(path, frames):
                digest.update(block)
                yield block

        self.store.put(path, watched())
        return digest.hexdigest()

    def put_body(self, path: str, content: Buffer) -> int:
        """Compress and seal `content` into a new object, and return its size as stored."""
        return self.seal(path, self.codec.frames(content))

    def read_body(self, path: str) -> bytes:
        """Return what `put_body` was given.

        Raises:
            ObjectMissing, ObjectDamaged.
        """
        return b"".join(unframe(self.unseal(path), path))

    def put_json(self, path: str, value: dict[str, Any]) -> None:
        """Store a small JSON document."""
        self.put_body(path, canonical_json(value))

    def systems(self, name: ClusterName) -> list[SystemId]:
        """Return the system identifiers kept under a cluster's name, ordered."""
        return [SystemId(child) for child in self.store.children(name) if layout.is_system(child)]

    def cluster(
        self, name: ClusterName, system_id: SystemId, *, create: bool = False, segment_bytes: int | None = None
    ) -> ClusterRepository:
        """Open one cluster's history; with `create`, start it where there is none (`segment_bytes` defaults to 16 MiB).

        Raises:
            Usage: `unknown-cluster`, there is none and `create` is False.
            Refused: `foreign-cluster`, its cluster.json speaks of another cluster, system or segment size.
            ObjectMissing, ObjectDamaged: its cluster.json is gone although there are backups, or cannot be trusted.
        """
        if name == layout.KEYS or not layout.is_system(system_id):
            raise Usage(f"{name} with system identifier {system_id!r} cannot be kept in a repository.")
        path = layout.identity(name, system_id)
        wanted = {"format": 1, "cluster": name, "system_id": system_id}
        if create and not self.store.exists(path):
            self._start(path, {**wanted, "segment_bytes": segment_bytes or DEFAULT_SEGMENT_BYTES})
        try:
            found = self._identity(path, name, system_id)
        except KeyLost:
            if not create or segment_bytes is None:
                raise
            # What is kept cannot be read now; the server itself says what else the identity would, and is backed up anew.
            found = {**wanted, "segment_bytes": segment_bytes}
        size = found.get("segment_bytes")
        if any(found.get(key) != value for key, value in wanted.items()) or segment_bytes not in {None, size}:
            raise Refused(
                f"{path} speaks of cluster {found.get('cluster')} with system identifier {found.get('system_id')} and "
                f"segments of {size} bytes; {name} has {system_id} and {segment_bytes or size}.",
                hint="Is this the repository of another cluster? Give this cluster a repository or a name of its own.",
                code="foreign-cluster",
            )
        return ClusterRepository(self, name, system_id, int(found["segment_bytes"]))

    def _start(self, path: str, identity: dict[str, Any]) -> None:
        try:
            self.put_json(path, identity)
        except Conflict:
            return  # another process was first; what it wrote is compared like any other

    def _identity(self, path: str, name: ClusterName, system_id: SystemId) -> dict[str, Any]:
        try:
            found = json.loads(self.read_body(path))
        except ObjectMissing:
            if next(iter(self.store.list(layout.system(name, system_id))), None) is not None:
                raise
            known = ", ".join(self.systems(name)) or "none"
            raise Usage(
                f"The repository {self.name} keeps nothing of cluster {name} with system identifier {system_id} "
                f"(known: {known}).",
                hint=f"Take a first backup: `pitstop backup base {name}`. Or is it another repository?",
                code="unknown-cluster",
            ) from None
        except ValueError:
            raise ObjectDamaged(path, "it cannot be read") from None
        except KeyLost as error:
            return self._identity_of_backups(name, system_id, error)
        if not isinstance(found, dict) or not isinstance(found.get("segment_bytes"), int):
            raise ObjectDamaged(path, "it cannot be read")
        return found

    def _identity_of_backups(self, name: ClusterName, system_id: SystemId, lost: KeyLost) -> dict[str, Any]:
        """Return what the newest readable backup says of its cluster: a first data key that is lost takes only its own along.

        Raises:
            KeyLost: where no backup can be read either.
        """
        history = ClusterRepository(self, name, system_id, DEFAULT_SEGMENT_BYTES)
        for backup in reversed(self.store.children(layout.backups(name, system_id))):
            try:
                summary = history.stored_summary(BackupId(backup))
            except (Corruption, KeyUnopened):
                continue
            return {
                "format": 1, "cluster": name, "system_id": system_id, "segment_bytes": summary.segment_bytes
            }  # fmt: skip
        raise lost

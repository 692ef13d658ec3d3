"""One repository: sealed objects in a store, and the clusters kept in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bot.model.ids import ClusterName, SystemId
from bot.repository.cluster import ClusterRepository
from bot.repository.stores import Store


class Repository:
    """An open repository. Thread-safe.

    Attributes:
        name: as in the configuration.
        store: where its objects are.
    """

    name: str
    store: Store

    def seal(self, path: str, chunks: Iterable[bytes]) -> int:
        """Encrypt `chunks` into a new object, and return its size as stored.

        Raises:
            Conflict: `object-exists`; the object is untouched.
        """
        raise NotImplementedError

    def unseal(self, path: str) -> Iterator[bytes]:
        """Yield an object's content, chunk by verified chunk. Only when it ends without an error was the object whole.

        Raises:
            ObjectMissing, ObjectDamaged: naming object and chunk.
            Usage: its data key is not in this repository.
        """
        raise NotImplementedError

    def systems(self, name: ClusterName) -> list[SystemId]:
        """Return the system identifiers kept under a cluster's name, ordered."""
        raise NotImplementedError

    def cluster(
        self, name: ClusterName, system_id: SystemId, *, create: bool = False, segment_bytes: int | None = None
    ) -> ClusterRepository:
        """Open one cluster's history; with `create`, start it where there is none (`segment_bytes` defaults to 16 MiB).

        Raises:
            Usage: `unknown-cluster`, there is none and `create` is False.
            Refused: `foreign-cluster`, its cluster.json speaks of another cluster, system or segment size.
        """
        raise NotImplementedError

"""Prove that everything kept in a repository still opens: every data key with every wrapping key, every object's header."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from bot.errors import Corruption, PitstopError, Refused, Unavailable, Usage
from bot.model.ids import BackupId
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.damage import ObjectDamaged
from bot.repository.envelope import HEADER_BYTES, Header
from bot.repository.keys.uses import AT_ONCE, backup_ids, histories
from bot.repository.repository import Repository

_BAD = (Corruption, Usage, Refused)


@dataclass
class Proof:
    """What was proved of one repository; with `problems` it is none.

    Attributes:
        data_keys: how many there are; `openings` how often one was opened with one wrapping key, all alike.
        backups: whose manifests were read whole.
        wal: objects of WAL; `objects` all whose headers were read, `opened` of how many content was decrypted.
        archived: objects that lie where they cannot be read at once; their backups' manifests were read.
        problems: a sentence each.
    """

    data_keys: int = 0
    openings: int = 0
    backups: int = 0
    wal: int = 0
    objects: int = 0
    opened: int = 0
    archived: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything opened."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return it as the audit keeps it."""
        return {**asdict(self), "holds": self.holds}


def prove(repository: Repository, say: Callable[[str], None] = lambda _: None) -> Proof:
    """Prove that all that is kept opens. Damage and lost keys are a result. Slow: a request for each object; asks services.

    1. Each data key is opened anew with each wrapping key under [encryption], and every one gives the same key.
    2. Each history's identity and each backup's manifest are read whole.
    3. The header of every object is read (volumes, indexes, records, WAL), which names its data key: that must be one of 1.
    4. Of each archive, of its index, and of each run of WAL under one key the first chunk is decrypted, so that no header is
       only believed. What lies deeper in an object does not depend on keys, and is what a scrub reads.

    Raises:
        Unavailable: the storage cannot be reached; nothing was proved.
    """
    proof = Proof()
    known = _prove_keys(repository, proof)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, system_id in histories(repository.store):
            try:
                cluster = repository.cluster(name, system_id)
            except _BAD as error:
                proof.problems.append(error.message)
                continue
            look = _Look(cluster, proof, known, pool)
            backups = backup_ids(repository.store, name, system_id)
            for number, backup in enumerate(backups, start=1):
                say(f"{repository.name}: {name}: backup {number} of {len(backups)}")
                look.backup(backup)
            say(f"{repository.name}: {name}: WAL")
            look.wal()
    return proof


def _prove_keys(repository: Repository, proof: Proof) -> set[str]:
    """Open every data key with every wrapper; return the ids of those that open at all."""
    ring, opening = repository.keys, set()
    for key_id in ring.ids():
        proof.data_keys += 1
        found: set[bytes] = set()
        for wrapper in ring.wrappers:
            try:
                key = ring.open_with(wrapper, key_id)
            except PitstopError as error:
                proof.problems.append(f"{error.message} It was to open the data key {key_id}.")
                continue
            if key is None:
                proof.problems.append(f"The data key {key_id} has no form that {wrapper.source} opens.")
                continue
            found.add(key)
            proof.openings += 1
        if len(found) > 1:
            proof.problems.append(f"The forms of the data key {key_id} hold different keys.")
        if found:
            opening.add(key_id)
        else:
            try:
                ring.key(key_id)
                opening.add(key_id)
            except PitstopError as error:
                proof.problems.append(error.message)
    return opening


class _Look:
    """A look at one history; problems go to the proof."""

    def __init__(self, cluster: ClusterRepository, proof: Proof, known: set[str], pool: Executor) -> None:
        self._cluster = cluster
        self._store = cluster.repository.store
        self._proof = proof
        self._known = known
        self._pool = pool

    def backup(self, backup: BackupId) -> None:
        """Read a backup's manifest, its objects' headers, and the beginning of each archive; one without a manifest is none."""
        name, system_id, proof = self._cluster.name, self._cluster.system_id, self._proof
        folder = layout.backup(name, system_id, backup)
        if not self._store.exists(layout.manifest(folder)):
            return
        try:
            manifest = self._cluster.manifest(backup)
        except _BAD as error:
            proof.problems.append(f"{backup}: {error.message}")
            return
        proof.backups += 1
        volumes = [volume.path for archive in manifest.archives for volume in archive.volumes]
        indexes = [archive.index for archive in manifest.archives if archive.index is not None]
        records = [info.path for info in self._store.list(folder)]
        keys = self._headers(backup, [*records, *indexes, *volumes])
        first = [archive.volumes[0].path for archive in manifest.archives if archive.volumes]
        seen = {keys.get(path) for path in (layout.manifest(folder), *first, *indexes)}
        for path in volumes:  # one sealed with another key than the rest, which no writer of ours leaves
            if keys.get(path) not in seen:
                seen.add(keys.get(path))
                first.append(path)
        self._open(backup, path=[path for path in (*first, *indexes) if path in keys])

    def wal(self) -> None:
        """Read the headers of all WAL, and the beginning of the first and last object of each key."""
        about = f"WAL of {self._cluster.name}"
        paths = [info.path for info in self._store.list(layout.wal(self._cluster.name, self._cluster.system_id))]
        keys = self._headers(about, paths)
        self._proof.wal += len(paths)
        first = {key: path for path, key in reversed(keys.items())}
        last = {key: path for path, key in keys.items()}
        self._open(about, sorted({*first.values(), *last.values()}))

    def _headers(self, about: str, paths: list[str]) -> dict[str, str]:
        """Return the data key of each object whose header can be read; one whose key does not open is a problem."""
        keys: dict[str, str] = {}
        unopened: dict[str, int] = {}
        for path, key, problem in self._pool.map(self._header, paths):
            if problem:
                self._proof.problems.append(f"{about}: {problem}")
            elif not key:
                self._proof.archived += 1
            else:
                self._proof.objects += 1
                if key in self._known:
                    keys[path] = key
                else:
                    unopened[key] = unopened.get(key, 0) + 1
        for key, count in unopened.items():
            self._proof.problems.append(
                f"{about}: {count} objects are sealed with the data key {key}, which does not open."
            )
        return keys

    def _header(self, path: str) -> tuple[str, str, str]:
        try:
            return path, Header.from_bytes(b"".join(self._store.get(path, 0, HEADER_BYTES)), path).key_id, ""
        except Corruption as error:
            return path, "", error.message
        except Unavailable as error:
            if error.reason_code != "storage-archived":
                raise
            return path, "", ""

    def _open(self, about: str, path: Iterable[str]) -> None:
        """Decrypt the first chunk of each object."""
        for problem in self._pool.map(self._first_chunk, path):
            if problem:
                self._proof.problems.append(f"{about}: {problem}")
            else:
                self._proof.opened += 1

    def _first_chunk(self, path: str) -> str:
        chunks: Iterator[bytes] = self._cluster.repository.unseal(path)
        try:
            if next(chunks, None) is None:
                raise ObjectDamaged(path, "it has no chunk")
        except _BAD as error:
            return error.message
        return ""

"""Bring: copy into one repository what it lacks. Ended anywhere, what is listed there is whole; the next run goes on.

Data keys come first, then WAL that a backup cannot do without, its volumes and indexes, its events, and its manifest last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot import desk
from bot.errors import Corruption, Unavailable, Usage
from bot.ledger import catalogue
from bot.model.backups import BackupSummary
from bot.model.ids import BackupId
from bot.model.locks import Lock, Locked, Mode
from bot.model.retained_wal import Segment, StoredWal
from bot.model.sync import has_own_wal, joined, own_segments, spoiled, travelling
from bot.model.wal import Fork
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.damage import ObjectDamaged, ObjectMissing
from bot.repository.manifest import Manifest
from bot.repository.repository import Repository
from bot.repository.transfer import Item, NowhereWhole, Trouble, copy_key, is_same
from jobs.context import JobContext
from jobs.sync.copying import Brought, Copying, end_if_away, opened
from jobs.sync.look import Due, History


class Bringing:
    """One repository being brought up to what the others hold of one system identifier."""

    def __init__(self, context: JobContext, due: Due, brought: Brought) -> None:
        self._context, self._due, self._brought = context, due, brought
        self._copies = Copying(context, due, brought)
        self._wal: StoredWal = due.target.held.wal
        self._target: Repository = opened(due.target)

    def run(self) -> None:
        """Bring everything; what stops it halfway is the `problem` of what was brought.

        Raises:
            Cancelled: the run was asked to stop.
        """
        lacks = self._due.lacking
        self._brought.left.update(lacks.left)
        if lacks.nothing:
            return
        self._copies.expect(self._expected())
        try:
            self._keys()
            cluster = self._identity()
            self._histories(cluster)
            for backup in lacks.backups:
                self._context.check_cancelled()
                self._backup(cluster, backup)
            self._segments(cluster, [*lacks.segments, *lacks.begun])
            self._events(cluster)
        except (Unavailable, Usage, Corruption) as error:
            self._brought.problem = error.message

    def _expected(self) -> int:
        """Return the bytes that are to come: volumes as they are recorded, segments as somebody stores them."""
        return sum(backup.bytes_stored for backup in self._due.lacking.backups) + self._due.segment_bytes

    def _keys(self) -> None:
        """Bring every data key that is not here, in all its wrapped forms; one that does not open is said, and done without.

        A key that is here already is left as it is: wrapping it anew is each repository's own.
        """
        known = set(self._target.keys.ids())
        for other in self._due.others:
            for key_id in opened(other).keys.ids():
                if key_id in known:
                    continue
                try:
                    copy_key(opened(other), self._target, key_id)
                except (Usage, Corruption) as error:
                    self._brought.problem = error.message
                else:
                    known.add(key_id)
                    self._brought.keys += 1

    def _identity(self) -> ClusterRepository:
        """Open the history, after bringing what says whose it is."""
        there, system = self._due.target.cluster, self._due.target.system_id
        name = self._context.run.cluster
        if there is not None:
            return there
        self._copies.copy([opened(other) for other in self._due.others], Item(layout.identity(name, system)))
        return self._target.cluster(name, system)

    def _histories(self, cluster: ClusterRepository) -> None:
        brought: dict[int, tuple[Fork, ...]] = {}
        for timeline in self._due.lacking.histories:
            holders = [other for other in self._due.others if timeline in other.held.wal.histories]
            self._copies.one(holders, Item(cluster.wal.history_path(timeline)))
            brought[timeline] = holders[0].held.wal.histories[timeline]
        self._wal = joined([self._wal, StoredWal(self._wal.segment_bytes or cluster.segment_bytes, histories=brought)])

    def _backup(self, cluster: ClusterRepository, summary: BackupSummary) -> None:
        """Bring one backup under a lock that keeps retention from it, here and in the others."""
        lock = Lock(f"chain:{cluster.name}/{summary.id}", Mode.WRITE)
        try:
            desk.hold(self._context.ledger, self._context.run.id, [lock])
        except Locked as error:
            self._brought.left[summary.id] = error.message
            return
        except Unavailable as error:
            # A ledger that is away stops no copy; retention does nothing without it either.
            self._context.note(f"The ledger could not be told: {error.message}")
        began = self._context.now()
        before = self._copies.done
        try:
            source = self._copy_backup(cluster, summary)
        except NowhereWhole as error:
            self._brought.left[summary.id] = _why(error)
            return
        finally:
            self._release(lock)
        if source is None:
            return
        seconds = (self._context.now() - began).total_seconds()
        self._brought.copied.append(
            {
                "id": summary.id,
                "kind": summary.kind,
                "from": source,
                "bytes": self._copies.done - before,
                "seconds": seconds,
            }
        )
        self._tell_catalogue(cluster, summary.id)

    def _release(self, lock: Lock) -> None:
        try:
            desk.release(self._context.ledger, self._context.run.id, lock)
        except Unavailable:
            return  # it ends with the run

    def _copy_backup(self, cluster: ClusterRepository, summary: BackupSummary) -> str | None:
        """Copy a backup's objects, the manifest last; return where its manifest came from, None where it has just gone."""
        holders = [other for other in self._due.others if summary.id in other.held.ids]
        holders.sort(key=lambda other: spoiled(other.held, summary.id))
        found = self._manifest(holders, summary.id)
        if found is None:
            self._brought.left[summary.id] = "it went meanwhile"
            return None
        manifest, source = found
        self._context.note(f"Copying {summary.id} from {source.name} to {self._target.name}.")
        if not has_own_wal(summary, self._wal):
            self._segments(cluster, own_segments(summary, joined([self._wal, *(o.held.wal for o in self._due.others)])))
        sources = [opened(source), *(opened(other) for other in holders if other is not source)]
        self._volumes(cluster, manifest, sources)
        if not has_own_wal(summary, self._wal):
            self._brought.left[summary.id] = "its own WAL could not be brought"
            return None
        folder = layout.backup(cluster.name, cluster.system_id, summary.id)
        for other in holders:
            for name in sorted(travelling(other.held.events.get(summary.id, frozenset()))):
                self._copies.copy([opened(other)], Item(f"{folder}/events/{name}"))
        self._copies.copy(sources, Item(layout.summary(folder)), vital=False)
        self._copies.copy(sources, Item(layout.manifest(folder)))
        return source.name

    def _manifest(self, holders: Sequence[History], backup: BackupId) -> tuple[Manifest, History] | None:
        """Read the manifest from the first repository that has it whole; damage is noted.

        Raises:
            NowhereWhole: some have it, and none whole.
        """
        trouble = Trouble()
        for holder in holders:
            assert holder.cluster is not None
            try:
                found = holder.cluster.manifest(backup), holder
            except (ObjectDamaged, ObjectMissing) as error:
                trouble.damaged.append((holder.name, error))
            except Unavailable as error:
                trouble.away.append((holder.name, error))
            except Usage as error:
                if error.reason_code != "unknown-backup":
                    trouble.away.append((holder.name, error))  # its key does not open here
                # else retention was faster
            else:
                self._copies.note(trouble, backup)
                return found
        self._copies.note(trouble, backup)
        end_if_away(trouble)
        if trouble.damaged or trouble.away:
            path = layout.manifest(layout.backup(self._context.run.cluster, self._due.target.system_id, backup))
            nowhere = NowhereWhole(path, trouble)
            self._copies.nowhere(path, nowhere, backup)
            raise nowhere
        return None

    def _volumes(self, cluster: ClusterRepository, manifest: Manifest, sources: list[Repository]) -> None:
        """Copy volumes and indexes, several at once, but for those that an earlier run brought; then see that all are there."""
        there = {info.path: info.size for info in cluster.objects(manifest.id)}
        items = [item for item in items_of(manifest) if not self._is_there(item, there, sources)]
        self._copies.several(items, lambda item: self._copies.copy(sources, item, backup=manifest.id))
        there = {info.path: info.size for info in cluster.objects(manifest.id)}
        for item in items_of(manifest):
            if item.path not in there:
                raise ObjectMissing(item.path)
            if item.size not in {None, there[item.path]}:
                raise ObjectDamaged(item.path, f"it has {there[item.path]} bytes instead of {item.size}")

    def _is_there(self, item: Item, there: dict[str, int], sources: list[Repository]) -> bool:
        """Say whether an object of a backup that does not exist yet was brought before; what only looks like it is removed."""
        if item.path not in there:
            return False
        if item.size in {None, there[item.path]} and any(self._same(source, item.path) for source in sources):
            self._copies.count(there[item.path])
            return True
        self._target.store.delete(item.path)
        return False

    def _same(self, source: Repository, path: str) -> bool:
        try:
            return is_same(source, self._target, path)
        except (ObjectMissing, ObjectDamaged):
            return False

    def _segments(self, cluster: ClusterRepository, segments: Iterable[Segment]) -> None:
        """Bring segments whole, or where nobody has them whole, in pieces."""
        wanted = [s for s in segments if s.number not in self._wal.whole.get(s.timeline, ())]
        whole: dict[int, set[int]] = {}
        begun: dict[tuple[int, int], int] = {}
        for segment, reach in zip(
            wanted, self._copies.several(wanted, lambda s: self._segment(cluster, s)), strict=True
        ):
            if reach == cluster.segment_bytes:
                self._brought.segments += 1
                whole.setdefault(segment.timeline, set()).add(segment.number)
            elif reach:
                begun[segment.timeline, segment.number] = reach
        found = {timeline: frozenset(numbers) for timeline, numbers in whole.items()}
        self._wal = joined([self._wal, StoredWal(cluster.segment_bytes, found, begun)])

    def _segment(self, cluster: ClusterRepository, segment: Segment) -> int:
        """Bring one segment; return how many of its bytes are here then, from its start."""
        timeline, number = segment.timeline, segment.number
        whole = [other for other in self._due.others if number in other.held.wal.whole.get(timeline, ())]
        if whole and self._copies.one(whole, Item(cluster.wal.segment_path(timeline, number))):
            return cluster.segment_bytes
        partial = [other for other in self._due.others if (timeline, number) in other.held.wal.begun]
        furthest = max(partial, key=lambda other: other.held.wal.begun[timeline, number], default=None)
        if furthest is None or furthest.cluster is None:
            return self._wal.begun.get((timeline, number), 0)
        if not all(
            self._copies.one([furthest], Item(path)) for path in furthest.cluster.wal.piece_paths(timeline, number)
        ):
            return self._wal.begun.get((timeline, number), 0)
        return furthest.held.wal.begun[timeline, number]

    def _events(self, cluster: ClusterRepository) -> None:
        """Bring what was said about backups that are here: a pin somewhere else, or its end."""
        changed = set()
        for backup, name in self._due.lacking.events:
            path = f"{layout.backup(cluster.name, cluster.system_id, backup)}/events/{name}"
            holders = [other for other in self._due.others if name in other.held.events.get(backup, ())]
            if self._copies.one(holders, Item(path)):
                self._brought.events += 1
                changed.add(backup)
        for backup in changed:
            self._tell_catalogue(cluster, backup)

    def _tell_catalogue(self, cluster: ClusterRepository, backup: BackupId) -> None:
        """Tell the ledger of a backup at once, so that the lag it shows is true."""
        summary = cluster.find(backup)
        if summary is None:
            return
        try:
            with self._context.ledger.transaction() as tx:
                catalogue.add(tx, cluster.name, self._target.name, summary)
        except Unavailable as error:
            self._context.note(f"The list of backups is late: {error.message}")


def _why(error: NowhereWhole) -> str:
    """Say in a clause why an object could not be had."""
    if error.trouble.away:
        return f"an object of it cannot be read now: {error.trouble.away[0][1].message}"
    return "an object of it is nowhere whole"


def items_of(manifest: Manifest) -> list[Item]:
    """Return the volumes and indexes of a backup with what its manifest says of each."""
    found = []
    for archive in manifest.archives:
        found += [Item(volume.path, volume.bytes_stored, volume.sha256) for volume in archive.volumes]
        if archive.index is not None:
            found.append(Item(archive.index, None, archive.index_sha256))
    return found

"""Look: what every repository of a cluster holds, and what each of them lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from bot.config import Config
from bot.errors import Corruption, PitstopError, Refused, Unavailable, Usage
from bot.ledger import Ledger
from bot.model.ids import BackupId, ClusterName, SystemId, is_backup_id
from bot.model.keeping import Keeping
from bot.model.retained_wal import StoredWal
from bot.model.sync import Circumstances, Held, Lacking, lacking
from bot.repository import layout
from bot.repository.cluster import ClusterRepository
from bot.repository.open import open_repository
from bot.repository.repository import Repository
from jobs.histories import recall
from jobs.live import being_written
from jobs.repositories import was_used
from jobs.retention.stock import Needs, newest_sound, read_needs, stock_of, stored_wal

_NOT_BEGUN = frozenset({"repository-missing", "no-data-key"})


@dataclass(frozen=True, slots=True)
class Side:
    """One repository that answers; `opened` is None where there is nothing yet, and nothing may be made.

    `keys` is how many data keys came from others when it was begun just now.
    """

    name: str
    opened: Repository | None
    keys: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """One system identifier in one repository; `cluster` is None where the repository holds nothing of it yet.

    `sizes` are the bytes that each segment takes there as stored, keyed by (timeline, number).
    """

    side: Side
    system_id: SystemId
    cluster: ClusterRepository | None
    held: Held
    sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The repository's name."""
        return self.side.name


@dataclass(frozen=True, slots=True)
class Due:
    """What one repository lacks of one system identifier, and who holds it, the nearest first."""

    target: History
    others: tuple[History, ...]
    lacking: Lacking

    @property
    def segment_bytes(self) -> int:
        """The bytes of the segments that lack whole, as somebody stores them."""
        keys = [(segment.timeline, segment.number) for segment in self.lacking.segments]
        return sum(max((other.sizes.get(key, 0) for other in self.others), default=0) for key in keys)


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is: every history, what is due, and why some repositories, or parts of them, could not be looked at."""

    histories: tuple[History, ...]
    due: tuple[Due, ...]
    problems: Mapping[str, str]


def look(config: Config, ledger: Ledger, cluster: ClusterName, now: datetime, *, create: bool) -> Looked:
    """Read what every repository of `cluster` holds; with `create`, start those that were never used.

    Raises:
        Unavailable, Usage: no repository can be read, or the ledger cannot, which knows who needs what.
    """
    needs, written = read_needs(ledger, cluster), being_written(ledger, cluster)
    sides, problems = _open_all(config, ledger, cluster, create=create)
    systems = sorted({SystemId(s) for side in sides if side.opened for s in side.opened.systems(cluster)})
    histories: list[History] = []
    for side in list(sides):
        try:
            histories += [_history(ledger, side, cluster, system) for system in systems]
        except (Corruption, Refused, Unavailable, Usage) as error:
            problems[side.name] = error.message
    newest = newest_sound(backup for history in histories for backup in history.held.backups)
    keeping = config.cluster(cluster).retention.keeping
    due = [d for system in systems for d in _due(histories, system, cluster, needs, newest, written, keeping, now)]
    return Looked(tuple(histories), tuple(due), problems)


def events_of(cluster: ClusterRepository) -> dict[BackupId, frozenset[str]]:
    """Return the names of the events beside each backup, also of those without a manifest; nothing is read."""
    folder = layout.backups(cluster.name, cluster.system_id)
    found: dict[BackupId, set[str]] = {}
    for info in cluster.repository.store.list(folder):
        parts = info.path[len(folder) + 1 :].split("/")
        if len(parts) == 3 and parts[1] == "events" and is_backup_id(parts[0]):
            found.setdefault(BackupId(parts[0]), set()).add(parts[2])
    return {backup: frozenset(names) for backup, names in found.items()}


def _open_all(
    config: Config, ledger: Ledger, cluster: ClusterName, *, create: bool
) -> tuple[list[Side], dict[str, str]]:
    """Open what was begun, and with `create` begin the others, with a data key that there is: what is sealed with it comes."""
    sides: dict[str, Side] = {}
    away: dict[str, PitstopError] = {}
    for name in config.nearest_repositories(cluster):
        with _noting(away, name):
            sides[name] = _open(config, ledger, name, cluster)
    if not any(side.opened for side in sides.values()) and away:
        raise next((e for e in away.values() if isinstance(e, Unavailable)), next(iter(away.values())))
    for name in [name for name, side in sides.items() if side.opened is None and create]:
        settings, like = config.repositories[name], [side.opened for side in sides.values() if side.opened]
        with _noting(away, name):
            begun = open_repository(name, settings, config.encryption, create=True, like=like)
            sides[name] = Side(name, begun, keys=int(bool(like)))
    return [side for name, side in sides.items() if name not in away], {name: e.message for name, e in away.items()}


@contextmanager
def _noting(away: dict[str, PitstopError], name: str) -> Iterator[None]:
    """Note why a repository cannot be used, and go on without it."""
    try:
        yield
    except (Corruption, Refused, Unavailable, Usage) as error:
        away[name] = error


def _open(config: Config, ledger: Ledger, name: str, cluster: ClusterName) -> Side:
    try:
        return Side(name, open_repository(name, config.repositories[name], config.encryption))
    except Usage as error:
        if error.reason_code in _NOT_BEGUN and not was_used(ledger, cluster, name):
            return Side(name, None)
        raise


def _history(ledger: Ledger, side: Side, name: ClusterName, system: SystemId) -> History:
    if side.opened is None or system not in side.opened.systems(name):
        return History(side, system, None, Held(side.name))
    cluster = side.opened.cluster(name, system)
    recall(ledger, cluster)
    inventory = cluster.wal.inventory()
    held = Held(side.name, tuple(cluster.backups()), stored_wal(cluster.wal, inventory), events_of(cluster))
    return History(side, system, cluster, held, inventory.sizes)


def _due(
    histories: Iterable[History],
    system: SystemId,
    cluster: ClusterName,
    needs: Needs,
    newest: Mapping[str, datetime],
    written: frozenset[BackupId],
    keeping: Keeping,
    now: datetime,
) -> list[Due]:
    same = [history for history in histories if history.system_id == system]
    all_backups = tuple({backup.id: backup for one in same for backup in one.held.backups}.values())
    stock = stock_of(all_backups, StoredWal(0), needs, newest, cluster, system)
    known = Circumstances(stock, written)
    found = []
    for target in same:
        others = tuple(one for one in same if one is not target and one.cluster is not None)
        lacks = lacking(target.held, [other.held for other in others], keeping, now, known)
        found.append(Due(target, others, lacks))
    return found

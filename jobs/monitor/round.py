"""One round of the monitor: look everywhere, judge, and write what follows in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from bot import desk
from bot.config import ClusterConfig, Config
from bot.errors import PitstopError, Unavailable
from bot.ledger import Ledger, alerts
from bot.model.alerts import CONDITIONS, Alert, Concern, Judged, Severity
from bot.model.conditions.disks import KEPT, Disk, disk_full
from bot.model.conditions.wal import Durability, Receiver, Slot, receiver_down, server_down, slots, wal_lag
from bot.model.digest import LOOK_BACK
from bot.model.ids import ClusterName
from bot.model.runs import RunState
from jobs.away import WITHIN_S, Suspects, looked_at, only_away, seen, suspects, unanswered
from jobs.context import utc_now
from jobs.monitor import ledger as told_by_ledger
from jobs.monitor.ledger import JUDGED, Told
from jobs.monitor.machine import Room, folders, receiver_lives, rooms
from jobs.monitor.probes import Probes
from jobs.monitor.server import Seen, look_at, ours_of

SERVER_WITHIN_S = 12.0
DISKS_WITHIN_S = 5.0
SAMPLED_EVERY = timedelta(hours=1)


@dataclass
class Sight:
    """What the newest round saw, for the metrics: slots by cluster, disks, and when it ended.

    `repositories` says of each cluster's why they are away, empty where they are not; those it knows nothing of are left out.
    """

    at: datetime
    slots: dict[str, tuple[Slot, ...]] = field(default_factory=dict)
    rooms: list[Room] = field(default_factory=list)
    servers_up: dict[str, bool] = field(default_factory=dict)
    repositories: dict[str, dict[str, str]] = field(default_factory=dict)


class Monitor:
    """Looks again and again; what it remembers between two rounds is since when a receiver lives or is gone."""

    def __init__(self, config: Config, ledger: Ledger, now: Callable[[], datetime] = utc_now) -> None:
        self._config, self._ledger, self._now = config, ledger, now
        self._probes = Probes()
        self._alive_since: dict[str, datetime] = {}
        self._worst: dict[str, int] = {}
        self._down_since: dict[str, datetime] = {}
        self.sight: Sight | None = None

    def look(self) -> list[Alert]:
        """Do one round and return the alerts that changed. Takes as long as what hangs may, a few seconds, and no longer.

        Raises:
            Unavailable: the ledger cannot be read or written; nothing was judged.
        """
        now = self._now()
        sight = Sight(now)
        with self._ledger.read() as tx:
            told = [told_by_ledger.read(tx, ClusterName(name), self._config, now) for name in self._config.clusters]
            gone = {alert.concern.cluster for alert in alerts.list(tx)} - set(self._config.clusters) - {""}
            found = told_by_ledger.refused(tx) + told_by_ledger.old_keys(tx, self._config, now)
            used = {name: suspects(self._config, tx, ClusterName(name)) for name in self._config.clusters}
        judged = {
            ("undelivered", ""),
            ("key-age", ""),
            *((condition, cluster) for cluster in gone for condition in CONDITIONS),
        }
        for one in told:
            self._cluster(one, self._config.clusters[one.cluster], sight, found, judged)
        self._disks(sight, found, judged)
        self._repositories(used, sight)
        changed = desk.observe(self._ledger, found, Judged(frozenset(judged)), now)
        self.sight = sight
        return changed

    def away(self, cluster: str) -> dict[str, str]:
        """Return why repositories of a cluster were away in the newest round, by their names; nothing before the first one."""
        return only_away(self.sight.repositories.get(cluster, {})) if self.sight else {}

    def _cluster(
        self, told: Told, config: ClusterConfig, sight: Sight, found: list[Concern], judged: set[tuple[str, str]]
    ) -> None:
        """Judge one cluster; add to what was found, and to what could be judged."""
        now, name = sight.at, told.cluster
        found += told_by_ledger.concerns(told, config, now)
        judged |= {(condition, name) for condition in (*JUDGED, "wal-lag", "server-down")}
        if (gaps := told_by_ledger.gaps(told, self._config)) is not None:
            found += gaps
            judged.add(("wal-gap", name))
        receiver, judgeable = receiver_down(self._receiver(told, now), after=config.alerts.receiver_down)
        found += receiver
        if judgeable:
            judged.add(("receiver-down", name))
        # A receiver that has only just begun, or ended, is about to make its slots.
        seen = self._server(name, config, sight, found, expected=ours_of(name) if judgeable else ())
        if seen is not None and judgeable:
            judged.add(("slot", name))
        lag = config.objectives.rpo
        durabilities = _durabilities(told, seen)
        found += wal_lag(durabilities, target=lag.target, maximum=lag.maximum, now=now)
        self._keep_exposure(name, durabilities, now)

    def _keep_exposure(self, name: str, durabilities: list[Durability], now: datetime) -> None:
        """Keep each hour the worst there was of what would have been lost, for the digest's chart."""
        if not durabilities:
            return
        exposed = int(max(one.exposure(now) for one in durabilities).total_seconds())
        self._worst[name] = max(exposed, self._worst.get(name, 0))
        with self._ledger.read() as tx:
            due = _due(alerts.samples(tx, f"rpo:{name}"), now)
        if due:
            desk.sampled(self._ledger, {f"rpo:{name}": self._worst.pop(name)}, now, LOOK_BACK)

    def _server(
        self, name: str, config: ClusterConfig, sight: Sight, found: list[Concern], expected: tuple[str, ...]
    ) -> Seen | None:
        try:
            seen = self._probes.ask(name, lambda: look_at(config.observe, name), SERVER_WITHIN_S)
        except TimeoutError:
            error: PitstopError = Unavailable(
                f"PostgreSQL of {name} did not answer within {SERVER_WITHIN_S:.0f} s.", hint="Is its host reachable?"
            )
        except PitstopError as refusal:
            error = refusal
        else:
            sight.servers_up[name], sight.slots[name] = True, seen.slots
            limits = config.alerts
            found += slots(
                name,
                seen.slots,
                expected=expected,
                safe_bytes=limits.slot_safe_bytes,
                retained_bytes=limits.slot_retained_bytes,
            )
            return seen
        sight.servers_up[name] = False
        found += server_down(name, error.message, error.hint)
        return None

    def _receiver(self, told: Told, now: datetime) -> Receiver:
        """Say since when a cluster's receiver lives or is gone: by its run where there is one, else by what we saw."""
        name, run = told.cluster, told.streams[0] if told.streams else None
        if receiver_lives(self._config, name):
            self._down_since.pop(name, None)
            since = self._alive_since.setdefault(name, now)
            started = run.started_at if run and run.state is RunState.RUNNING else None
            return Receiver(name, now - (started or since), None)
        self._alive_since.pop(name, None)
        since = self._down_since.setdefault(name, now)
        error = str((run.error or {}).get("message", "")) if run else ""
        return Receiver(name, None, now - since, error)

    def _repositories(self, used: dict[str, Suspects], sight: Sight) -> None:
        """Look at each folder once; one that has not come back yet is not asked again."""

        @cache
        def look(folder: Path) -> str:
            try:
                return self._probes.ask(f"folder {folder}", lambda: looked_at(folder), WITHIN_S)
            except TimeoutError:
                return unanswered(folder)

        sight.repositories = {name: seen(known, look) for name, known in used.items()}

    def _disks(self, sight: Sight, found: list[Concern], judged: set[tuple[str, str]]) -> None:
        now, where = sight.at, folders(self._config)
        try:
            sight.rooms = self._probes.ask("disks", lambda: rooms(where), DISKS_WITHIN_S)
        except (TimeoutError, OSError) as error:
            why = str(error) or f"no answer within {DISKS_WITHIN_S:.0f} s"
            sentence = f"The disks of {', '.join(where)} cannot be asked how full they are: {why}."
            fix = "Is a mount dead? `df` hangs or fails on it too."
            found.append(Concern("disk", "", "unreachable", Severity.WARN, sentence, fix))
            return
        judged.add(("disk", ""))
        with self._ledger.read() as tx:
            kept = {room.name: alerts.samples(tx, room.name) for room in sight.rooms}
        limits = self._config.monitor
        disks = [Disk(r.name, r.path, r.total_bytes, r.free_bytes, kept[r.name]) for r in sight.rooms]
        found += disk_full(disks, free_share=limits.disk_free, full_within=limits.disk_full_within, now=now)
        due = {r.name: r.total_bytes - r.free_bytes for r in sight.rooms if _due(kept[r.name], now)}
        if due:
            desk.sampled(self._ledger, due, now, KEPT)


def _due(samples: list[tuple[datetime, int]], now: datetime) -> bool:
    return not samples or now - samples[-1][0] >= SAMPLED_EVERY


def _durabilities(told: Told, seen: Seen | None) -> list[Durability]:
    return [
        Durability(
            told.cluster,
            status.repository,
            status.durable_lsn,
            max(status.server_lsn, seen.lsn) if seen else status.server_lsn,
            status.covered_until,
        )
        for status in told.wal
    ]

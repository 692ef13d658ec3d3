"""Metrics for Prometheus, read from the ledger when they are fetched: names and units by its conventions.

Source: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from bot import __version__
from bot.errors import PitstopError
from bot.ledger import Tx, alerts, catalogue, runs, wal_status
from bot.model.alerts import AlertState, Severity
from bot.model.conditions.drills import duration, of_now, proved
from bot.model.conditions.wal import Durability
from bot.model.ids import ClusterName
from bot.model.runs import Job, Run, RunState
from bot.process.place import Place
from jobs.copies import behind
from jobs.monitor.round import Sight

_ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.INTERRUPTED)
log = structlog.get_logger("pitstop.metrics")


def serve_metrics(place: Place, sight: Callable[[], Sight | None], stop: threading.Event) -> None:
    """Serve metrics where the configuration says, until `stop`; a port that is taken is logged, and nothing else suffers."""
    address = place.config.metrics.address
    if address is None:
        stop.wait()
        return
    registry = CollectorRegistry()
    registry.register(PitstopCollector(place, sight))
    try:
        server, _ = start_http_server(address[1], address[0], registry=registry)
    except OSError as error:
        log.error("no metrics", listen=place.config.metrics.listen, error=error.strerror)
        stop.wait()
        return
    log.info("metrics", listen=place.config.metrics.listen)
    stop.wait()
    server.shutdown()
    server.server_close()


class PitstopCollector(Collector):
    """Reads the ledger at each fetch; `sight` is what the monitor saw last. Without a ledger it says only that."""

    def __init__(self, place: Place, sight: Callable[[], Sight | None]) -> None:
        self._place, self._sight = place, sight

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: registering must not read the ledger."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield InfoMetricFamily("pitstop_build", "Which Pitstop this is", {"version": __version__})
        found: list[Metric] = []
        try:
            with self._place.ledger.read() as tx:
                found += [
                    *self._backups(tx),
                    *self._wal(tx),
                    *self._copies(tx),
                    *_runs(tx),
                    *_alerts(tx),
                    *self._drills(tx),
                ]
        except PitstopError:
            found = []
        yield GaugeMetricFamily("pitstop_ledger_up", "Whether the ledger could be read", int(bool(found)))
        yield from found
        yield from self._seen()

    def _backups(self, tx: Tx) -> Iterator[Metric]:
        labels = ["cluster", "kind"]
        last = _gauge("backup_last_success_timestamp_seconds", "When the newest sound backup was finished", labels)
        size = _gauge("backup_last_stored_bytes", "Stored size of the newest sound backup", labels)
        read = _gauge("backup_last_read_bytes", "Size of the newest sound backup before compression", labels)
        took = _gauge("backup_last_duration_seconds", "How long the newest sound backup took", labels)
        kept = _gauge("backups", "Backups that are kept", labels)
        stored = _gauge("repository_stored_bytes", "Backups in a repository, without WAL", ["cluster", "repository"])
        for name in self._place.config.clusters:
            backups = catalogue.list(tx, ClusterName(name))
            for kind in sorted({backup.kind for backup in backups}):
                kept.add_metric([name, kind], sum(backup.kind == kind for backup in backups))
                sound = [one for one in backups if one.kind == kind and not one.damaged and not one.partial]
                if sound:
                    newest = max(sound, key=lambda backup: backup.finished_at)
                    last.add_metric([name, kind], newest.finished_at.timestamp())
                    size.add_metric([name, kind], newest.bytes_stored)
                    read.add_metric([name, kind], newest.bytes_read)
                    took.add_metric([name, kind], (newest.finished_at - newest.started_at).total_seconds())
            for repository in self._place.config.cluster_repositories(name):
                held = catalogue.list(tx, ClusterName(name), repository)
                stored.add_metric([name, repository], sum(backup.bytes_stored for backup in held))
        yield from (last, size, read, took, kept, stored)

    def _wal(self, tx: Tx) -> Iterator[Metric]:
        labels, now = ["cluster", "repository"], self._place.now()
        behind = _gauge("wal_lag_bytes", "WAL that a repository does not hold yet", labels)
        exposed = _gauge("wal_lag_seconds", "How much of the past would be lost with the server", labels)
        for name in self._place.config.clusters:
            for status in wal_status.list(tx, ClusterName(name)):
                held = Durability(name, status.repository, status.durable_lsn, status.server_lsn, status.covered_until)
                behind.add_metric([name, status.repository], held.behind_bytes)
                exposed.add_metric([name, status.repository], held.exposure(now).total_seconds())
        yield from (behind, exposed)

    def _copies(self, tx: Tx) -> Iterator[Metric]:
        labels, now = ["cluster", "repository"], self._place.now()
        lacking = _gauge("copy_lag_backups", "Backups that another repository holds and this one does not", labels)
        stored = _gauge("copy_lag_bytes", "Stored size of the backups that this repository lacks", labels)
        age = _gauge("copy_lag_seconds", "How long this repository has lacked the oldest of them", labels)
        for name in self._place.config.clusters:
            for lag in behind(self._place.config, tx, ClusterName(name), now):
                lacking.add_metric([name, lag.repository], len(lag.backups))
                stored.add_metric([name, lag.repository], lag.bytes_stored)
                age.add_metric([name, lag.repository], lag.age(now).total_seconds())
        yield from (lacking, stored, age)

    def _drills(self, tx: Tx) -> Iterator[Metric]:
        ended = _gauge(
            "drill_last_timestamp_seconds", "When the last drill of an outcome ended", ["cluster", "outcome"]
        )
        took = _gauge("drill_last_duration_seconds", "How long the last proved restore took", ["cluster"])
        for name in self._place.config.clusters:
            ended_ones = runs.recent(tx, cluster=ClusterName(name), jobs=(Job.DRILL,), states=_ENDED)
            found = [run for run in ended_ones if of_now(run)]
            for outcome in (True, False):
                last = next((run for run in found if proved(run) is outcome), None)
                if last is not None:
                    _drill(last, ended, took)
        yield from (ended, took)

    def _seen(self) -> Iterator[Metric]:
        sight = self._sight()
        if sight is None:
            return
        yield GaugeMetricFamily(
            "pitstop_monitor_last_round_timestamp_seconds", "When the monitor last looked", sight.at.timestamp()
        )
        up = _gauge("server_up", "Whether PostgreSQL answered the monitor", ["cluster"])
        there = _gauge(
            "repository_up", "Whether a repository that was used could be looked at", ["cluster", "repository"]
        )
        safe = _gauge("slot_safe_bytes", "WAL that may be written before a slot is given up", ["cluster", "slot"])
        kept = _gauge("slot_retained_bytes", "WAL that a slot keeps on the server", ["cluster", "slot"])
        free = _gauge("disk_free_bytes", "Room left on a disk of Pitstop's", ["disk"])
        total = _gauge("disk_size_bytes", "Size of a disk of Pitstop's", ["disk"])
        for name, answers in sight.servers_up.items():
            up.add_metric([name], int(answers))
        for name, repositories in sight.repositories.items():
            for repository, why in repositories.items():
                there.add_metric([name, repository], int(not why))
        for name, slots in sight.slots.items():
            for slot in slots:
                kept.add_metric([name, slot.name], slot.retained_bytes)
                if slot.safe_bytes is not None:
                    safe.add_metric([name, slot.name], slot.safe_bytes)
        for room in sight.rooms:
            free.add_metric([room.name], room.free_bytes)
            total.add_metric([room.name], room.total_bytes)
        yield from (up, there, safe, kept, free, total)


def _runs(tx: Tx) -> Iterator[Metric]:
    ended = CounterMetricFamily("pitstop_runs", "Runs that ended", labels=["cluster", "job", "state"])
    going = _gauge("runs_unfinished", "Runs that are queued or running", ["cluster", "job", "state"])
    for cluster, job, state, number in runs.counts(tx):
        (ended if RunState(state).ended else going).add_metric([cluster, job, state], number)
    yield from (ended, going)


def _alerts(tx: Tx) -> Iterator[Metric]:
    gauge = _gauge("alerts", "Alerts that are not over", ["severity", "state"])
    found = [(alert.concern.severity, alert.state) for alert in alerts.list(tx)]
    for severity in Severity:
        for state in AlertState:
            if state is not AlertState.RESOLVED:
                gauge.add_metric([severity.value, state.value], found.count((severity, state)))
    yield gauge


def _drill(run: Run, ended: GaugeMetricFamily, took: GaugeMetricFamily) -> None:
    if run.finished_at is not None:
        outcome = "succeeded" if proved(run) else "failed"
        ended.add_metric([run.cluster, outcome], run.finished_at.timestamp())
    length = duration(run)
    if proved(run) and length is not None:
        took.add_metric([run.cluster], length.total_seconds())


def _gauge(name: str, told: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"pitstop_{name}", told, labels=labels)

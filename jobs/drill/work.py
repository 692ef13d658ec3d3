"""One drill under way: its run, what is kept of the cluster, and the answers as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from bot.config import ClusterConfig, Config, DrillConfig
from bot.errors import Corruption
from bot.model.backups import BackupSummary
from bot.model.drills import Counts, Point, Proof, Question, judge_time
from bot.repository.cluster import ClusterRepository
from bot.repository.manifest import Manifest
from jobs.context import JobContext
from jobs.plan.holdings import Holdings


@dataclass(frozen=True)
class Drill:
    """What every phase gets."""

    context: JobContext
    holdings: Holdings

    @property
    def config(self) -> Config:
        """The whole configuration."""
        return self.context.config

    @property
    def cluster(self) -> ClusterConfig:
        """The cluster's."""
        return self.config.cluster(self.holdings.cluster)

    @property
    def wishes(self) -> DrillConfig:
        """What the configuration says of its drills."""
        return self.cluster.drill

    @property
    def canary_database(self) -> str:
        """Where canaries are written: the cluster's first configured database."""
        return next(iter(self.cluster.databases), "postgres")

    def repository(self, backup: BackupSummary) -> ClusterRepository:
        """Return where a backup is read from."""
        return self.holdings.places[backup.id]


@dataclass
class Answers:
    """The answers about one backup, as they come."""

    backup: BackupSummary
    repository: str
    began: float = field(default_factory=time.monotonic)
    newest: bool | None = None
    damaged: bool = False
    object_damage: str = ""
    seconds: float = 0.0
    bytes: int = 0
    wal_bytes: int = 0
    counts: Counts = field(default_factory=dict)
    target: dict[str, Any] | None = None
    points: list[Point] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def say(self, question: Question, ok: bool | None, detail: str) -> None:
        """Answer a question."""
        self.add(Point(question, ok, detail))

    def whole(self, manifest: Manifest) -> None:
        """Answer that all that is stored of the backup was read and verified on the way."""
        many = len(manifest.archives)
        self.say(
            Question.WHOLE, True, f"{f'all {many} archives were' if many > 1 else 'its archive was'} read and verified"
        )

    def add(self, *points: Point) -> None:
        """Add answers that were judged elsewhere."""
        self.points += points

    def has(self, question: Question) -> bool:
        """Say whether a question was answered."""
        return any(point.question is question for point in self.points)

    def damage(self, error: Corruption, *, own: bool) -> None:
        """Answer that something is damaged: the backup's `own` objects, what is known of it, or the WAL on the way."""
        self.damaged = True
        of_it = own or error.reason_code in {"known-damaged", "manifest-differs"}
        if of_it or not error.reason_code.startswith(("wal", "object")):
            self._instead(Question.WHOLE, error.message)
            self.object_damage = error.message if own else ""
        else:
            self._instead(Question.WAL, error.message)

    def _instead(self, question: Question, detail: str) -> None:
        self.points = [point for point in self.points if point.question is not question]
        self.say(question, False, detail)

    def proof(self, drill: Drill, since: int) -> Proof:
        """Return what was found, in the checklist's order, with the run's phases from number `since` on; judge the time."""
        if self.seconds:
            objective = drill.cluster.objectives.rto
            target, maximum = objective.target.total_seconds(), objective.maximum.total_seconds()
            self.add(judge_time(self.seconds, target, maximum))
        order = list(Question)
        return Proof(
            backup=self.backup.id,
            kind=self.backup.kind,
            repository=self.repository,
            newest=self.newest,
            points=tuple(sorted(self.points, key=lambda point: order.index(point.question))),
            phases=tuple(_phases(drill, since)),
            seconds=self.seconds,
            bytes=self.bytes,
            wal_bytes=self.wal_bytes,
            damaged=self.damaged,
            counts=self.counts,
            target=self.target,
            warnings=tuple(self.warnings),
            object_damage=self.object_damage,
        )


def _phases(drill: Drill, since: int) -> list[tuple[str, float]]:
    now = drill.context.now()
    return [
        (phase.name, phase.seconds if phase.seconds is not None else (now - phase.started_at).total_seconds())
        for phase in drill.context.phases()[since:]
    ]

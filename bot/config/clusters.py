"""The `[clusters.NAME]` table: a server, who may do what, and when what runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from bot.config.backups import DrillConfig, DumpConfig, OldBackupsConfig, RetentionConfig, ScrubConfig
from bot.config.in_place import HealthConfig, HooksConfig
from bot.config.values import Duration, FilePath, Table
from bot.model.canonical import canonical_json
from bot.model.people import Policy
from bot.model.runs import Job
from bot.model.schedule import OFF, Cron, schedule_of
from bot.model.sql_checks import SqlCheck

_LEAST_RATE_KIB = 32


class Approval(Table):
    """Who may ask and approve. An empty or missing list means nobody."""

    requesters: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    quorum: int = Field(default=1, ge=0, le=10)
    cli_beside_quorum: int = Field(default=0, ge=0, le=10)
    expires: Duration = timedelta(minutes=30)
    claim: Duration = timedelta(minutes=10)
    wake_after: Duration = timedelta(minutes=2)

    @field_validator("requesters", "approvers")
    @classmethod
    def _ids_only(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if entry != "everyone" and not re.fullmatch(r"[UWS][A-Z0-9]{2,}", entry) and not entry.startswith("host:"):
                raise ValueError(f"“{entry}” is not an id; use U…, W… (people), S… (groups), host:login or everyone")
        return value


class Schedule(Table):
    """Cron expressions in the cluster's time zone; `off` disables a job."""

    base_backup: str = "0 2 * * *"
    dump: str = "30 2 * * *"
    wal_check: str = "0 * * * *"
    drill: str = "0 3 * * 0"
    retention: str = "0 4 * * *"
    scrub: str = "0 5 * * *"
    sync: str = "20 * * * *"
    digest: str = "0 9 * * mon-fri"
    rehearsal: str = "0 10 1 * *"

    @field_validator("*")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value.strip().lower() != OFF:
            Cron.parse(value)
        return value

    def crons(self, cluster: str) -> Iterator[tuple[Job, Cron]]:
        """Yield the scheduled jobs with their expressions; a key is the job's word, and those set to `off` are left out.

        Raises:
            Usage: an expression cannot be understood; names its key.
        """
        for key in type(self).model_fields:
            cron = schedule_of(getattr(self, key), key=f"clusters.{cluster}.schedule.{key}")
            if cron is not None:
                yield Job(key.replace("_", "-")), cron


class Objective(Table):
    """Two thresholds: past `target` is a warning, past `maximum` pages somebody."""

    target: Duration
    maximum: Duration


class Objectives(Table):
    """How much may be lost (RPO), how long a restore may take (RTO), how long a repository may lack what another one holds."""

    rpo: Objective = Objective(target=timedelta(hours=1), maximum=timedelta(hours=4))
    rto: Objective = Objective(target=timedelta(hours=4), maximum=timedelta(hours=8))
    copies: Objective = Objective(target=timedelta(hours=4), maximum=timedelta(hours=24))


class Thresholds(Table):
    """When a cluster's conditions become alerts; docs/alerts.md explains each.

    `size_change` is a share (0.5: half to double); `min_backup_bytes` counts what is stored.
    """

    backup_age: Duration = Field(default=timedelta(hours=24), gt=timedelta())
    size_change: float = Field(default=0.5, gt=0, lt=1)
    min_backup_bytes: int | None = Field(default=None, ge=0)
    missed_after: Duration = timedelta(minutes=15)
    receiver_down: Duration = timedelta(minutes=1)
    slot_safe_bytes: int = Field(default=1 << 30, ge=0)
    slot_retained_bytes: int = Field(default=16 << 30, gt=0)
    drill_age: Duration = Field(default=timedelta(days=8), gt=timedelta())
    drill_success: float = Field(default=0.8, ge=0, le=1)


class Check(Table):
    """An SQL check run on every restored server."""

    name: str
    database: str
    sql: str
    expect: str | None = None


class ClusterConfig(Table):
    """One PostgreSQL server.

    `dsn` serves all roles unless `stream_dsn`, `observe_dsn` or `restore_dsn` is given; the observing one dumps, unless
    `dump_dsn` is given.
    """

    dsn: str | None = None
    stream_dsn: str | None = None
    observe_dsn: str | None = None
    restore_dsn: str | None = None
    dump_dsn: str | None = None
    data_directory: FilePath | None = None
    databases: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    copies: Literal["behind", "at-once"] = "behind"
    timezone: str = "UTC"
    shared_disk: bool = False
    insecure_transport: bool = False
    max_rate_kib: int = Field(default=0, ge=0, le=1048576)
    workers: int = Field(default=0, ge=0, le=64)
    wal_durable_within: Duration = timedelta(seconds=5)
    approval: Approval = Approval()
    schedule: Schedule = Schedule()
    contacts: dict[str, str] = Field(default={})
    dump: DumpConfig = DumpConfig()
    drill: DrillConfig = DrillConfig()
    old_backups: OldBackupsConfig | None = None
    retention: RetentionConfig = RetentionConfig()
    scrub: ScrubConfig = ScrubConfig()
    objectives: Objectives = Objectives()
    alerts: Thresholds = Thresholds()
    checks: tuple[Check, ...] = ()
    hooks: HooksConfig = HooksConfig()
    health: HealthConfig = HealthConfig()
    server_log: FilePath | None = None
    app_log: FilePath | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"“{value}” is not a time zone; write one like Asia/Bangkok or UTC") from None
        return value

    @field_validator("max_rate_kib")
    @classmethod
    def _as_the_server_takes_it(cls, value: int) -> int:
        if 0 < value < _LEAST_RATE_KIB:
            raise ValueError(f"write 0 for no limit, or at least {_LEAST_RATE_KIB}, which is PostgreSQL's least")
        return value

    @model_validator(mode="after")
    def _some_dsn(self) -> ClusterConfig:
        if not (self.dsn or (self.stream_dsn and self.observe_dsn)):
            raise ValueError("give `dsn`, or both `stream_dsn` and `observe_dsn`")
        return self

    @property
    def stream(self) -> str:
        """The libpq string of the role that streams backups and WAL."""
        return self.stream_dsn or self.dsn or ""

    @property
    def observe(self) -> str:
        """The libpq string of the role that reads settings and marks restore points."""
        return self.observe_dsn or self.dsn or ""

    @property
    def restoring(self) -> str:
        """The libpq string of the role that makes databases and restores into them; only the executor connects with it."""
        return self.restore_dsn or self.dsn or ""

    @property
    def dumping(self) -> str:
        """The libpq string of the role that dumps databases."""
        return self.dump_dsn or self.observe

    @cached_property
    def policy(self) -> Policy:
        """Who may ask and approve, with a version that changes when any of it does."""
        approval = self.approval
        body = {
            "requesters": list(approval.requesters),
            "approvers": list(approval.approvers),
            "quorum": approval.quorum,
            "cli_beside_quorum": approval.cli_beside_quorum,
            "expires_s": int(approval.expires.total_seconds()),
            "claim_s": int(approval.claim.total_seconds()),
        }
        version = hashlib.sha256(canonical_json(body)).hexdigest()[:16]
        return Policy(
            requesters=approval.requesters,
            approvers=approval.approvers,
            quorum=approval.quorum,
            expires_s=int(approval.expires.total_seconds()),
            claim_s=int(approval.claim.total_seconds()),
            version=version,
            cli_beside_quorum=approval.cli_beside_quorum,
        )

    @property
    def sql_checks(self) -> tuple[SqlCheck, ...]:
        """The configured checks as the plan carries them."""
        return tuple(SqlCheck(c.name, c.database, c.sql, c.expect) for c in self.checks)

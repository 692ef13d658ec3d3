"""The file as a whole: found, read, and all of its problems told at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from bot.config.clusters import ClusterConfig
from bot.config.host import MetricsConfig, MonitorConfig, NotifyConfig, PostgresConfig, RestoreConfig
from bot.config.repositories import EncryptionConfig, RepositoryConfig
from bot.config.slack import SlackConfig
from bot.config.values import FilePath, Table
from bot.errors import Usage
from bot.model.ids import ClusterName
from bot.model.people import HOST_TEAM, Person, Policy
from bot.model.policy import joined
from bot.model.runs import Job
from bot.model.schedule import Cron
from bot.model.typed import nearest, quoted

DEFAULT_PATHS = (Path("pitstop.toml"), Path("/etc/pitstop/pitstop.toml"))
_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,62}\Z")


class Config(Table):
    """The whole configuration file."""

    ledger: FilePath = Path("/var/lib/pitstop/ledger.db")
    spool: FilePath = Path("/var/lib/pitstop/spool")
    slack: SlackConfig | None = None
    repositories: dict[str, RepositoryConfig]
    encryption: EncryptionConfig
    clusters: dict[str, ClusterConfig]
    people: dict[str, str] = Field(default={})
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
                raise ValueError(f"“{name}”: use lower-case letters, digits, - and _, at most 63")
        return value

    @field_validator("people")
    @classmethod
    def _user_ids(cls, value: dict[str, str]) -> dict[str, str]:
        for login, user in value.items():
            if not re.fullmatch(r"[UW][A-Z0-9]{2,}", user):
                raise ValueError(f"{login}: “{user}” is not a Slack user id; write one like U024BE7LH")
        return value

    @model_validator(mode="after")
    def _known_repositories(self) -> Config:
        for name, cluster in self.clusters.items():
            for repository in cluster.repositories:
                if repository not in self.repositories:
                    raise ValueError(f"clusters.{name}.repositories: there is no repository “{repository}”")
            places: dict[str, str] = {}
            for repository in cluster.repositories or self.repositories:
                other = places.setdefault(self.repositories[repository].url.rstrip("/"), repository)
                if other != repository:
                    raise ValueError(f"clusters.{name}.repositories: {other} and {repository} are the same place")
        return self

    def cluster(self, name: str) -> ClusterConfig:
        """Return one cluster's configuration.

        Raises:
            Usage: there is no cluster of that name.
        """
        try:
            return self.clusters[name]
        except KeyError:
            meant, known = nearest(name, self.clusters), ", ".join(sorted(self.clusters))
            raise Usage(
                f"There is no cluster named {quoted(name)}.",
                hint=f"Did you mean {meant}?" if meant else f"Known clusters: {known}.",
                code="unknown-cluster",
            ) from None

    def cluster_repositories(self, name: ClusterName | str) -> dict[str, RepositoryConfig]:
        """Return the repositories of a cluster in order of preference; all of them when none is named."""
        names = self.cluster(name).repositories or tuple(self.repositories)
        return {repository: self.repositories[repository] for repository in names}

    def nearest_repositories(self, name: ClusterName | str) -> dict[str, RepositoryConfig]:
        """Return the repositories of a cluster in the order in which they are read: folders before clouds, then as configured."""
        found = self.cluster_repositories(name)
        return {one: found[one] for one in sorted(found, key=lambda one: found[one].directory is None)}

    def crons(self, name: ClusterName | str) -> Iterator[tuple[Job, Cron]]:
        """Yield what is scheduled on a cluster; only several repositories are ever brought up to what the others hold.

        Raises:
            Usage: an expression cannot be understood; names its key.
        """
        several = len(self.cluster_repositories(name)) > 1
        for job, cron in self.cluster(name).schedule.crons(name):
            if several or job is not Job.SYNC:
                yield job, cron

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
            hint="Mend the keys named above; `pitstop check --configuration` prints what is in force.",
            code="bad-config",
        ) from None


def _plain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "missing"
    return str(error["msg"]).removeprefix("Value error, ")

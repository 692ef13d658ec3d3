"""The configuration: one TOML file, read into frozen models; all problems are reported at once with their key paths."""

from bot.config.backups import DrillConfig, DumpConfig, OldBackupsConfig, RetentionConfig, ScrubConfig
from bot.config.clusters import Approval, Check, ClusterConfig, Objective, Objectives, Schedule, Thresholds
from bot.config.file import DEFAULT_PATHS, Config, load
from bot.config.host import MetricsConfig, MonitorConfig, NotifyConfig, PostgresConfig, RestoreConfig
from bot.config.in_place import HealthConfig, HooksConfig
from bot.config.repositories import EncryptionConfig, RepositoryConfig
from bot.config.slack import Channels, SlackConfig
from bot.config.values import Duration, FilePath, parse_duration

__all__ = [
    "Config",
    "load",
    "DEFAULT_PATHS",
    "SlackConfig",
    "Channels",
    "RepositoryConfig",
    "EncryptionConfig",
    "ClusterConfig",
    "Approval",
    "Schedule",
    "Objective",
    "Objectives",
    "Thresholds",
    "Check",
    "DumpConfig",
    "DrillConfig",
    "RetentionConfig",
    "ScrubConfig",
    "OldBackupsConfig",
    "HooksConfig",
    "HealthConfig",
    "RestoreConfig",
    "PostgresConfig",
    "MonitorConfig",
    "NotifyConfig",
    "MetricsConfig",
    "Duration",
    "FilePath",
    "parse_duration",
]

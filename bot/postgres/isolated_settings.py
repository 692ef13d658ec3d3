"""The configuration of a server that is not the live one: an allowlist of what was recorded, and what is forced. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bot.model.targets import ResolvedTarget

# Taken over from the server the backup is of: how values look and are read, and what WAL replay insists on.
_KEPT = (
    "DateStyle", "IntervalStyle", "TimeZone", "timezone_abbreviations", "extra_float_digits", "bytea_output",
    "default_text_search_config", "lc_monetary", "lc_numeric", "lc_time", "xmlbinary", "xmloption", "array_nulls",
    "backslash_quote", "escape_string_warning", "standard_conforming_strings", "transform_null_equals",
    "quote_all_identifiers", "default_transaction_isolation", "track_commit_timestamp",
    "icu_validation_level",
)  # fmt: skip

# Replay stops when one of these is lower here than where the WAL was written.
FLOORS = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 10,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}

_FORCED = {
    # nothing leaves: not to an archive, a standby, a publisher, a syslog or a log file of production's
    "archive_mode": "off", "archive_command": "", "archive_cleanup_command": "", "recovery_end_command": "",
    "primary_conninfo": "", "primary_slot_name": "", "synchronous_standby_names": "",
    "max_logical_replication_workers": "0", "hot_standby_feedback": "off", "wal_receiver_create_temp_slot": "off",
    "logging_collector": "off", "log_destination": "stderr", "external_pid_file": "",
    # nothing comes in but over the private socket
    "listen_addresses": "", "ssl": "off", "bonjour": "off", "unix_socket_group": "", "unix_socket_permissions": "0777",
    "password_encryption": "scram-sha-256", "db_user_namespace": "off",
    # no leftover says how recovery ends (the target itself is never empty here: an empty one beside the one that is set
    # is already "multiple recovery targets" to PostgreSQL; production's files, where a leftover could be, are not loaded)
    "recovery_target_inclusive": "on", "recovery_target_timeline": "latest",
    "recovery_target_action": "shutdown", "recovery_min_apply_delay": "0", "promote_trigger_file": "",
    "restore_command": "",
    # the log proves the target: it must be there, in English, and complete
    "lc_messages": "C", "log_line_prefix": "%m [%p] ", "log_min_messages": "warning", "log_error_verbosity": "default",
    "log_startup_progress_interval": "1s", "log_timezone": "UTC",
    # small, and a guest on the machine
    "shared_buffers": "128MB", "huge_pages": "off", "max_wal_size": "1GB", "min_wal_size": "80MB", "wal_keep_size": "0",
    "autovacuum": "off", "jit": "off", "hot_standby": "on", "wal_level": "replica", "restart_after_crash": "off",
    "session_preload_libraries": "", "local_preload_libraries": "", "cron.launch_active_jobs": "off",
    "default_tablespace": "", "temp_tablespaces": "", "fsync": "on", "full_page_writes": "on",
}  # fmt: skip
_SINCE = {
    15: {"archive_library": "", "recovery_prefetch": "try"},
    17: {"sync_replication_slots": "off", "event_triggers": "off", "allow_alter_system": "off", "summarize_wal": "off",
         "synchronized_standby_slots": ""},
}  # fmt: skip
_UNTIL = {"promote_trigger_file": 15, "db_user_namespace": 16}
_FROM = {"log_startup_progress_interval": 15}

# Libraries whose tables cannot be read, or whose WAL cannot be replayed, without them. All others stay out: what they
# add (statistics, schedules, auditing) a copy does not need, and some would act on their own.
_NEEDED_LIBRARIES = frozenset(
    {"timescaledb", "citus", "citus_columnar", "orioledb", "pg_tde", "pgroonga_wal_resource_manager"}
)
_QUIET = {
    "timescaledb": {"timescaledb.telemetry_level": "off", "timescaledb.restoring": "on"},
    "citus": {"citus.enable_statistics_collection": "off"},
}


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """Where replay stops, and the shell command that fetches WAL (PostgreSQL's `restore_command`)."""

    target: ResolvedTarget
    restore_command: str


def base_settings(
    recorded: Mapping[str, str], *, major: int, socket_dir: str, raised: Mapping[str, int]
) -> dict[str, str]:
    """Return every setting of the copy but recovery's: the allowlist from `recorded` (SHOW form), floors, and what is forced.

    `raised` are floors the server itself asked for after it met them in the WAL.
    """
    settings = {name: recorded[name] for name in _KEPT if name in recorded}
    for name, least in FLOORS.items():
        settings[name] = str(max(least, raised.get(name, 0), _number(recorded.get(name))))
    libraries = needed_libraries(recorded)
    settings["shared_preload_libraries"] = ",".join(libraries)
    for library in libraries:
        settings.update(_QUIET.get(library, {}))
    settings.update(forced_settings(major))
    settings["unix_socket_directories"] = socket_dir
    settings["port"] = "5432"
    return settings


def forced_settings(major: int) -> dict[str, str]:
    """Return what no configuration may change; also given on the command line, which beats every file."""
    forced = {
        name: value
        for name, value in _FORCED.items()
        if major <= _UNTIL.get(name, major) and major >= _FROM.get(name, major)
    }
    for since, more in _SINCE.items():
        if major >= since:
            forced.update(more)
    return forced


def recovery_settings(recovery: RecoverySettings) -> dict[str, str]:
    """Return the settings of a recovery to `recovery.target`: by LSN, exclusive, on a numbered timeline, then a pause.

    Where no record starts at the target yet, no target is set: the WAL that is served ends there.
    """
    settings = {
        "restore_command": recovery.restore_command,
        "recovery_target_timeline": str(recovery.target.timeline),
        "recovery_target_action": "pause",
    }
    if recovery.target.record_exists:
        settings |= {"recovery_target_lsn": str(recovery.target.lsn), "recovery_target_inclusive": "off"}
    return settings


def needed_libraries(recorded: Mapping[str, str]) -> list[str]:
    """Return which of the recorded `shared_preload_libraries` the copy loads."""
    names = [name.strip().strip('"') for name in recorded.get("shared_preload_libraries", "").split(",")]
    return [name for name in names if name.removeprefix("$libdir/") in _NEEDED_LIBRARIES]


def render_conf(settings: Mapping[str, str]) -> str:
    """Return the text of postgresql.conf."""
    head = (
        "# Written by Pitstop for a restored copy. Production's own settings are set aside in ../production-config.\n"
    )
    return head + "".join(f"{name} = '{_escaped(value)}'\n" for name, value in sorted(settings.items()))


def render_hba(superuser: str, people: Collection[str]) -> str:
    """Return the text of pg_hba.conf: the supervising account as the superuser by peer, people by SCRAM, nobody else."""
    lines = ["# Written by Pitstop: the socket alone, and only who is named here."]
    lines += [f"local all {_hba_name(name)} scram-sha-256" for name in sorted(people)]
    lines += [
        f"local all {_hba_name(superuser)} peer map=pitstop",
        "local all all reject",
        "local replication all reject",
    ]
    return "\n".join(lines) + "\n"


def render_ident(system_user: str, superuser: str) -> str:
    """Return the text of pg_ident.conf: this machine's account that supervises the server."""
    return f"pitstop {_hba_name(system_user)} {_hba_name(superuser)}\n"


def _hba_name(name: str) -> str:
    """Quote a role's name; quoted it loses every special meaning (`all`, `+group`, `/regex`), save that of a slash in 16+."""
    return '"' + name.replace('"', '""') + '"'


def _escaped(value: str) -> str:
    return re.sub(r"[\r\n]", " ", value).replace("\\", "\\\\").replace("'", "''")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0

"""Is this cluster fit to be backed up, and this host fit to restore it? Each problem with the exact line that puts it right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import psycopg

from bot.config import ClusterConfig, Config
from bot.errors import PitstopError
from bot.host.files import same_filesystem
from bot.model.schedule import OFF
from bot.postgres.binaries import clients, installed
from bot.postgres.connect import Connection, connect, dsn_field, is_local
from bot.postgres.dump_rules import UNREADABLE_OBJECTS, check_dump_programs, check_large_objects
from bot.postgres.findings import Finding
from bot.postgres.hba_rules import HbaRule, check_hba
from bot.postgres.program_rules import check_programs
from bot.postgres.replication import ReplicationConnection
from bot.postgres.restore_rules import check_restoring, read_restoring_role
from bot.postgres.right_rules import Rights, check_dump_rights, check_rights
from bot.postgres.setting_rules import Settings, check_settings
from bot.postgres.tls_rules import check_tls, read_tls
from bot.postgres.transport import check_transport


def check_cluster(config: Config, name: str) -> list[Finding]:
    """Check one cluster of the configuration: its server, the programs and the disks here.

    Never raises for what it finds: an unreachable server is a finding.
    """
    cluster = config.cluster(name)
    return [
        *check_transport(cluster),
        *_streaming(cluster),
        *_observing(cluster, config.postgres.bin_directories),
        *_dumping(cluster, config.postgres.bin_directories),
        *_restoring(cluster),
        *check_disks(config, name),
        *check_copies(config, name),
    ]


def check_copies(config: Config, name: str) -> Iterator[Finding]:
    """Check that several repositories in folders are several: two names of one folder, or two folders of one disk, go together."""
    folders = {
        repository: settings.directory.resolve()
        for repository, settings in config.cluster_repositories(name).items()
        if settings.directory is not None
    }
    for one, other in combinations(folders, 2):
        if folders[one] == folders[other]:
            told = f"The repositories {one} and {other} are one folder ({folders[one]}): there is no second copy."
            yield Finding("fail", "same-folder", told, f"Give {other} a url of its own.")
        elif same_filesystem(folders[one], folders[other]):
            told = f"The repositories {one} and {other} are on one disk: one loss takes both."
            yield Finding("warn", "same-disk", told, f"Move {other} to another disk, better to another place.")


def check_disks(config: Config, name: str) -> list[Finding]:
    """Check that the disk that takes the database with it does not take its backups too. Reads the server's data directory."""
    cluster = config.cluster(name)
    data = cluster.data_directory or _data_directory(cluster)
    if data is None or not _may_exist(data):
        return []
    places = {"spool": config.spool}
    for repository, settings in config.cluster_repositories(name).items():
        if settings.directory is not None:
            places[f"repository {repository}"] = settings.directory
    return [_disk(what, path, data, accepted=cluster.shared_disk) for what, path in places.items()]


def _may_exist(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # in a folder of somebody else's, whose disk is known all the same


def _disk(what: str, path: Path, data: Path, *, accepted: bool) -> Finding:
    if not same_filesystem(path, data):
        return Finding("ok", "own-disk", f"The {what} is not on the database's disk.")
    if accepted:
        return Finding("warn", "shared-disk", f"The {what} shares the database's disk, as the configuration accepts.")
    return Finding(
        "fail",
        "shared-disk",
        f"The {what} ({path}) is on the same disk as the database ({data}): one loss takes both.",
        f"Move the {what} to another disk, or accept it with shared_disk = true.",
    )


def _streaming(cluster: ClusterConfig) -> Iterator[Finding]:
    try:
        with ReplicationConnection.open(cluster.stream) as conn:
            system_id, timeline, _ = conn.identify()
    except PitstopError as error:
        yield _finding(error)
        return
    yield Finding("ok", "streaming", f"Streaming works: system {system_id}, timeline {timeline}.")
    try:
        connect(cluster.stream).close()
    except PitstopError as error:
        yield _finding(error)


def _observing(cluster: ClusterConfig, bin_directories: Sequence[Path]) -> Iterator[Finding]:
    try:
        with connect(cluster.observe) as conn:
            yield from check_settings(_settings(conn))
            yield from check_programs(conn.info.server_version, installed(bin_directories))
            yield from check_rights(_rights(conn))
            yield from check_hba(_hba(conn))
            tls = read_tls(conn, cluster.observe)
            yield from check_tls(tls, now=datetime.now(UTC), accepted=cluster.insecure_transport)
    except PitstopError as error:
        yield _finding(error)
    except psycopg.Error as error:
        yield Finding("fail", "observe", f"Reading the settings failed: {error}.", "Does the server's log say more?")


def _dumping(cluster: ClusterConfig, bin_directories: Sequence[Path]) -> Iterator[Finding]:
    if cluster.schedule.dump.strip().lower() == OFF:
        return
    try:
        with connect(cluster.dumping) as conn:
            yield from check_dump_programs(conn.info.server_version // 10000, clients("pg_dump", bin_directories))
            if cluster.dump_dsn is not None:
                yield from check_dump_rights(_rights(conn))
            role, names = conn.info.user, cluster.databases or _open_databases(conn)
        yield from check_large_objects(role, {name: _unreadable_objects(cluster, name) for name in names})
    except PitstopError as error:
        if cluster.dump_dsn is not None or error.reason_code == "unknown-role-or-database":
            yield _finding(error)  # what the observing role cannot reach was said before
    except psycopg.Error as error:
        yield Finding(
            "fail", "dump", f"Looking for what dumps need failed: {error}.", "Does the server's log say more?"
        )


def _restoring(cluster: ClusterConfig) -> Iterator[Finding]:
    user = dsn_field(cluster.restoring, "user") if cluster.restoring else None
    if not cluster.restoring:
        yield from check_restoring(None, None)
        return
    try:
        with connect(cluster.observe) as conn:
            name = user or conn.info.user
            yield from check_restoring(name, read_restoring_role(conn, name))
    except PitstopError:
        return  # what the observing role cannot reach was said before
    except psycopg.Error as error:
        yield Finding(
            "fail", "restore", f"Looking at the restoring role failed: {error}.", "Does the server's log say more?"
        )


def _open_databases(conn: Connection) -> list[str]:
    rows = conn.execute(
        "SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 AND NOT datistemplate"
        " AND has_database_privilege(oid, 'CONNECT') ORDER BY 1"
    ).fetchall()
    return [str(name) for (name,) in rows]


def _unreadable_objects(cluster: ClusterConfig, database: str) -> int:
    with connect(cluster.dumping, dbname=database) as conn:
        [(count,)] = conn.execute(UNREADABLE_OBJECTS.encode()).fetchall()
    return int(count)


def _settings(conn: Connection) -> Settings:
    values = {str(name): str(value) for name, value in conn.execute("SELECT name, setting FROM pg_settings").fetchall()}
    [(in_recovery, senders, slots, ours, standbys)] = conn.execute(
        "SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication),"
        " (SELECT count(*) FROM pg_replication_slots),"
        r" (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'pitstop\_%'),"
        r" (SELECT array_agg(application_name ORDER BY 1) FROM pg_stat_replication WHERE application_name NOT LIKE 'pitstop%')"
    ).fetchall()
    return Settings(values, in_recovery, senders, slots, ours, tuple(standbys or ()))


def _rights(conn: Connection) -> Rights:
    major = conn.info.server_version // 10000
    [(role, superuser, bypass_rls)] = conn.execute(
        "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    ).fetchall()
    functions = conn.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
        " WHERE nspname = 'pg_catalog' AND has_function_privilege(p.oid, 'EXECUTE') AND proname IN"
        " ('pg_create_restore_point', 'pg_switch_wal', 'pg_read_file', 'pg_ls_dir', 'pg_hba_file_rules',"
        " 'pg_ident_file_mappings')"
    ).fetchall()
    member_of = conn.execute(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'pg\\_%' AND pg_has_role(oid, 'USAGE')"
    ).fetchall()
    closed = conn.execute(
        "SELECT datname FROM pg_database WHERE datallowconn AND NOT has_database_privilege(oid, 'CONNECT') ORDER BY 1"
    ).fetchall()
    return Rights(
        role=role,
        major=major,
        superuser=superuser,
        bypass_rls=bypass_rls,
        functions=frozenset(name for (name,) in functions),
        member_of=frozenset(name for (name,) in member_of),
        closed_databases=tuple(name for (name,) in closed),
    )


def _hba(conn: Connection) -> list[HbaRule]:
    """Return the rules, or none where the role may not read them (the rights check says so)."""
    try:
        rows = conn.execute(
            "SELECT line_number, type, database, user_name, address, netmask, auth_method, error"
            " FROM pg_hba_file_rules()"
        ).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return []
    return [
        HbaRule(line, kind or "", tuple(databases or ()), tuple(users or ()), address, netmask, method or "", error)
        for line, kind, databases, users, address, netmask, method, error in rows
    ]


def _data_directory(cluster: ClusterConfig) -> Path | None:
    """Return where a local server keeps its data, or None when that is not known here."""
    try:
        if not is_local(cluster.observe):
            return None
        with connect(cluster.observe) as conn:
            row = conn.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'").fetchone()
    except PitstopError:
        return None  # the server's own findings say that it cannot be reached
    return Path(row[0]) if row else None


def _finding(error: PitstopError) -> Finding:
    return Finding("fail", error.reason_code, error.message, error.hint)

"""Where each object lives (design §8): paths made and read here alone. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from bot.errors import Usage
from bot.model.ids import BackupId, ClusterName, SystemId, is_backup_id

_COMPONENT = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\Z")
_SYSTEM = re.compile(r"^[0-9]{1,20}\Z")
_PIECE = re.compile(r"^([0-9A-F]{8})-([0-9A-F]{8})\Z")
_NUMBER = re.compile(r"^[0-9]{6}\Z")
_SEGMENT = re.compile(r"^[0-9A-F]{24}\Z")
KEYS = "keys"
CHECK = "check"
PARTIAL = ".partial"

ObjectKind = Literal["volume", "wal", "partial", "probe", "record"]


def check_path(path: str) -> str:
    """Return `path` when it may name an object: no empty, hidden, absolute or climbing component.

    Raises:
        Usage: it may not.
    """
    if len(path) > 1000 or not all(_COMPONENT.match(part) for part in path.split("/")):
        raise Usage(f"{path!r} cannot name an object in a repository.", code="bad-object-path")
    return path


def kind_of(path: str) -> ObjectKind:
    """Return what an object is to the storage.

    Volumes and whole WAL segments are the bulk: they may lie in a cheaper class and be aged by lifecycle rules. Partial
    pieces and the probes of `pitstop check` come and go. Everything else (keys, manifests, summaries, indexes, events, maps,
    histories) is a record: small, needed for each restore, and no rule of the storage may touch it.
    """
    match path.split("/"):
        case [folder, _] if folder == CHECK:
            return "probe"
        case [_, system_id, "volumes", _, _, number] if is_system(system_id) and _NUMBER.match(number):
            return "volume"
        case [_, system_id, "wal", _, name] if is_system(system_id) and _SEGMENT.match(name):
            return "wal"
        case [_, system_id, "wal", _, folder, _] if is_system(system_id) and folder.endswith(PARTIAL):
            return "partial"
        case _:
            return "record"


def key_folder(key_id: str) -> str:
    """Return where the wrapped forms of one data key are."""
    return f"{KEYS}/{key_id}"


def system(cluster: ClusterName, system_id: SystemId) -> str:
    """Return the folder of one cluster's one history."""
    return f"{cluster}/{system_id}"


def is_system(text: str) -> bool:
    """Say whether a component is a system identifier."""
    return _SYSTEM.match(text) is not None


def identity(cluster: ClusterName, system_id: SystemId) -> str:
    """Return the path of `cluster.json`."""
    return f"{system(cluster, system_id)}/cluster.json"


def backups(cluster: ClusterName, system_id: SystemId) -> str:
    """Return the folder of a cluster's backups."""
    return f"{system(cluster, system_id)}/backups"


def backup(cluster: ClusterName, system_id: SystemId, backup_id: BackupId) -> str:
    """Return the folder of one backup's records: manifest, summary, events; its volumes lie in `volumes_of`."""
    return f"{backups(cluster, system_id)}/{backup_id}"


def volumes(cluster: ClusterName, system_id: SystemId) -> str:
    """Return the folder of all backups' volumes: apart, so that one short listing of `backups` shows every backup."""
    return f"{system(cluster, system_id)}/volumes"


def volumes_of(cluster: ClusterName, system_id: SystemId, backup_id: BackupId) -> str:
    """Return the folder of one backup's volumes and of its archives' indexes."""
    return f"{volumes(cluster, system_id)}/{backup_id}"


def backup_of(path: str) -> BackupId | None:
    """Return the backup that an object is a part of, a record or a volume, or None."""
    match path.split("/"):
        case [_, system_id, "backups" | "volumes", name, _, *_] if is_system(system_id) and is_backup_id(name):
            return BackupId(name)
        case _:
            return None


def manifest(folder: str) -> str:
    """Return the manifest's path in a backup's folder."""
    return f"{folder}/manifest"


def summary(folder: str) -> str:
    """Return the summary's path in a backup's folder."""
    return f"{folder}/summary"


def event(folder: str, at: datetime, kind: str) -> str:
    """Return an event's path in a backup's folder; they sort by time, to the microsecond."""
    return f"{folder}/events/{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{kind}"


def event_time(name: str) -> datetime | None:
    """Return the time in an event's name, aware UTC, or None when it is not one."""
    try:
        return datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def runbooks(cluster: ClusterName) -> str:
    """Return the folder of a cluster's runbooks, and of the script they use; all in plain text."""
    return f"{cluster}/runbook"


def runbook(cluster: ClusterName, at: datetime) -> str:
    """Return the path of the runbook written at `at`; the last by name is the newest."""
    return f"{runbooks(cluster)}/{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.md"


def volume(folder: str, archive: str, number: int) -> str:
    """Return the path of an archive's volume `number`, counted from 0, in `volumes_of` its backup."""
    return f"{folder}/{archive}/{number:06d}"


def index(folder: str, archive: str) -> str:
    """Return the path of an archive's index of members, in `volumes_of` its backup."""
    return f"{folder}/{archive}/index"


def wal(cluster: ClusterName, system_id: SystemId) -> str:
    """Return the folder of a cluster's WAL."""
    return f"{system(cluster, system_id)}/wal"


def timeline(wal_folder: str, number: int) -> str:
    """Return the folder of one timeline's WAL."""
    return f"{wal_folder}/{number:08X}"


def piece(offset: int, end: int) -> str:
    """Return the name of a partial piece: bytes [offset, end) of its segment, in hexadecimal."""
    return f"{offset:08X}-{end:08X}"


def parse_piece(name: str) -> tuple[int, int] | None:
    """Return (offset, end) of a partial piece's name, or None when it is not one."""
    match = _PIECE.match(name)
    if match is None:
        return None
    offset, end = int(match[1], 16), int(match[2], 16)
    return (offset, end) if offset < end else None

"""Names and ids; the random part is always passed in, so that making one is pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NewType

ClusterName = NewType("ClusterName", str)
BackupId = NewType("BackupId", str)
RequestId = NewType("RequestId", str)
RunId = NewType("RunId", str)
AlertId = NewType("AlertId", str)
SystemId = NewType("SystemId", str)
"""PostgreSQL's system identifier, decimal digits of an unsigned 64-bit number."""

_BACKUP_ID = re.compile(r"^(\d{8}T\d{6}Z)-(base|incr|dump)-[0-9a-f]{4,16}\Z")
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def stamp(at: datetime) -> str:
    """Return `at` as compact UTC to the second: `20261122T020000Z`. `at` must be aware."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def backup_id(kind: str, *, at: datetime, entropy: bytes) -> BackupId:
    """Make a backup's id: UTC start time, kind (`base`, `incr`, `dump`) and the first four hex digits of `entropy`."""
    return BackupId(f"{stamp(at)}-{kind}-{entropy.hex()[:4]}")


def is_backup_id(text: str) -> bool:
    """Say whether `text` has the form of a backup id."""
    return _BACKUP_ID.match(text) is not None


def backup_kind(backup: BackupId) -> str:
    """Return the kind written in a backup's id."""
    match = _BACKUP_ID.match(backup)
    if match is None:
        raise ValueError(f"not a backup id: {backup!r}")
    return match[2]


def backup_time(backup: BackupId) -> datetime:
    """Return the time in a backup's id, when it was begun, aware UTC."""
    return datetime.strptime(backup.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def request_id(entropy: bytes) -> RequestId:
    """Make a request's id: `r` and ten characters a person can read out; needs 7 bytes of entropy."""
    return RequestId("r" + _base32(entropy, 10))


def alert_id(entropy: bytes) -> AlertId:
    """Make an alert's id: `a` and eight characters a person can read out; needs 5 bytes of entropy."""
    return AlertId("a" + _base32(entropy, 8))


def run_id(job: str, *, at: datetime, entropy: bytes) -> RunId:
    """Make a run's id: UTC time, the job's name, and a short random suffix; safe as a file name."""
    return RunId(f"{stamp(at)}-{job}-{_base32(entropy, 5)}")


def _base32(entropy: bytes, length: int) -> str:
    number = int.from_bytes(entropy, "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        digits.append(_CROCKFORD[digit])
    return "".join(digits)

"""Servers started beside the live one: where, whose, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.model.ids import ClusterName, RequestId
from bot.model.people import Person


class ServerState(StrEnum):
    """Where a server beside stands; `removed` means that its directory is gone."""

    RUNNING = "running"
    STOPPED = "stopped"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Server:
    """A server as the ledger keeps it; `id` is its request's, times are aware UTC.

    `detail` is JSON of whoever starts and stops it: postmaster identity, socket folder, port, forwarder run; `host` and `user`
    are where, and as whom, `dsn` works.
    """

    id: RequestId
    cluster: ClusterName
    state: ServerState
    version: int
    owner: Person
    directory: str
    dsn: str
    size_bytes: int
    started_at: datetime
    expires_at: datetime
    detail: dict[str, Any]

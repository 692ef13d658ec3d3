"""Servers started beside, as rows."""

from __future__ import annotations

import builtins
import json
from datetime import datetime
from typing import Any

from bot.errors import Conflict, Usage
from bot.ledger.database import Tx, iso, parse_iso
from bot.model.ids import ClusterName, RequestId
from bot.model.people import Person
from bot.model.servers import Server, ServerState


def insert(tx: Tx, server: Server) -> None:
    """Write a new server."""
    row = _row(server)
    columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
    tx.execute(f"INSERT INTO servers ({columns}) VALUES ({marks})", row)  # noqa: S608 - the names are ours


def update(tx: Tx, server: Server) -> None:
    """Write a changed server over the version before it (`server.version` - 1).

    Raises:
        Conflict: somebody else changed it first.
    """
    row = _row(server)
    changes = ", ".join(f"{name} = :{name}" for name in row if name != "id")
    sql = f"UPDATE servers SET {changes} WHERE id = :id AND version = :before"  # noqa: S608 - the names are ours
    if tx.execute(sql, {**row, "before": server.version - 1}).rowcount != 1:
        raise Conflict(f"Server {server.id} changed at the same moment.", hint="Look at it again.", code="changed")


def find(tx: Tx, server_id: RequestId) -> Server | None:
    """Return one server, or None."""
    row = next(tx.query("SELECT * FROM servers WHERE id = ?", [server_id]), None)
    return _server(row) if row else None


def get(tx: Tx, server_id: RequestId) -> Server:
    """Return one server.

    Raises:
        Usage: there is none of that id.
    """
    server = find(tx, server_id)
    if server is None:
        raise Usage(f"There is no server {server_id}.", hint="`pitstop server list`", code="unknown-server")
    return server


def list(tx: Tx, *, cluster: ClusterName | None = None, removed: bool = False) -> builtins.list[Server]:  # noqa: A001
    """Return the servers that take up disk, newest first; with `removed` those of the past too."""
    sql = (
        "SELECT * FROM servers WHERE (:cluster IS NULL OR cluster = :cluster) AND (:removed OR state != 'removed')"
        " ORDER BY started_at DESC, id"
    )
    return [_server(row) for row in tx.query(sql, {"cluster": cluster, "removed": int(removed)})]


def lapsed(tx: Tx, at: datetime) -> builtins.list[Server]:
    """Return running servers whose lifetime is over."""
    sql = "SELECT * FROM servers WHERE state = 'running' AND expires_at <= ? ORDER BY expires_at"
    return [_server(row) for row in tx.query(sql, [iso(at)])]


def _row(server: Server) -> dict[str, Any]:
    return {
        "id": server.id,
        "cluster": server.cluster,
        "state": server.state.value,
        "version": server.version,
        "owner": server.owner.key,
        "directory": server.directory,
        "dsn": server.dsn,
        "bytes": server.size_bytes,
        "started_at": iso(server.started_at),
        "expires_at": iso(server.expires_at),
        "detail": json.dumps(server.detail, ensure_ascii=False),
    }


def _server(row: dict[str, Any]) -> Server:
    started_at, expires_at = parse_iso(row["started_at"]), parse_iso(row["expires_at"])
    assert started_at is not None
    assert expires_at is not None
    return Server(
        id=RequestId(row["id"]),
        cluster=ClusterName(row["cluster"]),
        state=ServerState(row["state"]),
        version=row["version"],
        owner=Person.from_key(row["owner"]),
        directory=row["directory"],
        dsn=row["dsn"],
        size_bytes=row["bytes"],
        started_at=started_at,
        expires_at=expires_at,
        detail=json.loads(row["detail"]),
    )

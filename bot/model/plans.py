"""Plans: the steps an approval is bound to by hash, and the facts that were true when it was made."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from bot.model.canonical import canonical_json
from bot.model.destinations import Beside, Destination, InPlace, destination_from_json, destination_json
from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.restores import Restoration, Undoing
from bot.model.sql_checks import SqlCheck
from bot.model.targets import ResolvedTarget


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One backup of the chain a restore starts from, bound by the SHA-256 of its manifest (hex)."""

    backup: BackupId
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """A server brought back beside: WAL replayed up to `target`, and stopped `lifetime_s` seconds after it started."""

    target: ResolvedTarget
    lifetime_s: int


Work = Recovery | Restoration | Undoing


@dataclass(frozen=True, slots=True)
class Steps:
    """What the executor will do, exactly. The approval is bound to `steps_hash` of this; nothing here may drift.

    `work` is what the verb does: a `Recovery` of base backups and WAL, a `Restoration` out of a dump, or an `Undoing`.
    """

    verb: str
    cluster: ClusterName
    system_id: SystemId
    repository: str
    chain: tuple[ChainLink, ...]
    work: Work
    destination: Destination
    overwrites: tuple[str, ...]
    checks: tuple[SqlCheck, ...]
    policy_version: str

    @property
    def recovery(self) -> Recovery:
        """The work, where it is known to be a recovery."""
        assert isinstance(self.work, Recovery)
        return self.work

    @property
    def restoration(self) -> Restoration:
        """The work, where it is known to be a restoration."""
        assert isinstance(self.work, Restoration)
        return self.work

    @property
    def undoing(self) -> Undoing:
        """The work, where it is known to be an undo."""
        assert isinstance(self.work, Undoing)
        return self.work

    @property
    def in_place(self) -> InPlace:
        """The destination, where it is known to be the place of a live database."""
        assert isinstance(self.destination, InPlace)
        return self.destination

    @property
    def beside(self) -> Beside:
        """The destination, where it is known to be a server beside."""
        assert isinstance(self.destination, Beside)
        return self.destination

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only; this is what is hashed."""
        return {
            "format": 1,
            "verb": self.verb,
            "cluster": self.cluster,
            "system_id": self.system_id,
            "repository": self.repository,
            "chain": [{"backup": link.backup, "manifest_sha256": link.manifest_sha256} for link in self.chain],
            **_work_json(self.work),
            "destination": destination_json(self.destination),
            "overwrites": list(self.overwrites),
            "checks": [{"name": c.name, "database": c.database, "sql": c.sql, "expect": c.expect} for c in self.checks],
            "policy_version": self.policy_version,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Steps:
        """Read what `as_json` wrote."""
        return cls(
            verb=data["verb"],
            cluster=ClusterName(data["cluster"]),
            system_id=SystemId(data["system_id"]),
            repository=data["repository"],
            chain=tuple(ChainLink(BackupId(x["backup"]), x["manifest_sha256"]) for x in data["chain"]),
            work=_work_from_json(data),
            destination=destination_from_json(data["destination"]),
            overwrites=tuple(data["overwrites"]),
            checks=tuple(SqlCheck(**check) for check in data["checks"]),
            policy_version=data["policy_version"],
        )


def _work_json(work: Work) -> dict[str, Any]:
    if isinstance(work, Recovery):
        return {"target": work.target.as_json(), "lifetime_s": work.lifetime_s}
    return {"undoing" if isinstance(work, Undoing) else "restoration": work.as_json()}


def _work_from_json(data: dict[str, Any]) -> Work:
    if "restoration" in data:
        return Restoration.from_json(data["restoration"])
    if "undoing" in data:
        return Undoing.from_json(data["undoing"])
    return Recovery(ResolvedTarget.from_json(data["target"]), data["lifetime_s"])


@dataclass(frozen=True, slots=True)
class Lost:
    """What a swap gives up, as of the plan: everything written to the database since `since` (ISO 8601 UTC).

    `wal_bytes` is the WAL the whole server wrote since then, `transactions` those of them that wrote (None: not known);
    `connections` are the sessions that will be ended.
    """

    since: str
    connections: int
    wal_bytes: int | None = None
    transactions: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was true when the plan was made; shown, not hashed. Sizes are bytes, `estimate_s` seconds (None: no history yet).

    `wal_complete` says that every byte of WAL from the chain's start to the target is in the repository or the spool.
    `disk_free` is None where the disk cannot be seen from here. `rows` are those counted with a dump (None: not counted).
    `warnings` are sentences for the approver; `basis` says where the estimate comes from. `made_at` is when all this was
    looked at (aware UTC): what is shown later is told as of then.
    """

    server_version: int
    backup_bytes: int
    bytes_to_fetch: int
    wal_bytes: int
    disk_needed: int
    disk_free: int | None
    wal_complete: bool
    estimate_s: float | None
    basis: str
    target_text: str
    warnings: tuple[str, ...] = ()
    rows: int | None = None
    lost: Lost | None = None
    made_at: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only."""
        return {
            "server_version": self.server_version,
            "backup_bytes": self.backup_bytes,
            "bytes_to_fetch": self.bytes_to_fetch,
            "wal_bytes": self.wal_bytes,
            "disk_needed": self.disk_needed,
            "disk_free": self.disk_free,
            "wal_complete": self.wal_complete,
            "estimate_s": self.estimate_s,
            "basis": self.basis,
            "target_text": self.target_text,
            "warnings": list(self.warnings),
            "rows": self.rows,
            "lost": asdict(self.lost) if self.lost else None,
            "made_at": self.made_at.isoformat() if self.made_at else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """Read what `as_json` wrote."""
        lost, made_at = data.get("lost"), data.get("made_at")
        typed = {
            "warnings": tuple(data["warnings"]),
            "lost": Lost(**lost) if lost else None,
            "made_at": datetime.fromisoformat(made_at) if made_at else None,
        }
        return cls(**{**data, **typed})


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done and what was true: `steps` are approved by hash, `facts` are shown and bounded."""

    steps: Steps
    facts: Facts

    @property
    def steps_hash(self) -> str:
        """The SHA-256 (hex) of the canonical JSON of the steps."""
        return hashlib.sha256(canonical_json(self.steps.as_json())).hexdigest()

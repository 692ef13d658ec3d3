"""Plans: the steps an approval is bound to by hash, and the facts that were true when it was made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from bot.model.ids import BackupId, ClusterName, SystemId
from bot.model.targets import ResolvedTarget


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One backup of the chain a restore starts from, bound by the SHA-256 of its manifest (hex)."""

    backup: BackupId
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class SqlCheck:
    """A check from the configuration: it passes when `sql`, run in `database`, returns `expect` as text (or any row, if None)."""

    name: str
    database: str
    sql: str
    expect: str | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a restore goes. `kind` is `beside`: a separate server in `directory`; with `port`, also on 127.0.0.1:port."""

    kind: str
    directory: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """What the executor will do, exactly. The approval is bound to `steps_hash` of this; nothing here may drift."""

    verb: str
    cluster: ClusterName
    system_id: SystemId
    repository: str
    chain: tuple[ChainLink, ...]
    target: ResolvedTarget
    destination: Destination
    overwrites: tuple[str, ...]
    checks: tuple[SqlCheck, ...]
    policy_version: str
    lifetime_s: int

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only; this is what is hashed."""
        return {
            "format": 1,
            "verb": self.verb,
            "cluster": self.cluster,
            "system_id": self.system_id,
            "repository": self.repository,
            "chain": [{"backup": link.backup, "manifest_sha256": link.manifest_sha256} for link in self.chain],
            "target": self.target.as_json(),
            "destination": {
                "kind": self.destination.kind,
                "directory": self.destination.directory,
                "port": self.destination.port,
            },
            "overwrites": list(self.overwrites),
            "checks": [{"name": c.name, "database": c.database, "sql": c.sql, "expect": c.expect} for c in self.checks],
            "policy_version": self.policy_version,
            "lifetime_s": self.lifetime_s,
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
            target=ResolvedTarget.from_json(data["target"]),
            destination=Destination(**data["destination"]),
            overwrites=tuple(data["overwrites"]),
            checks=tuple(SqlCheck(**check) for check in data["checks"]),
            policy_version=data["policy_version"],
            lifetime_s=data["lifetime_s"],
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What was true when the plan was made; shown, not hashed. Sizes are bytes, `estimate_s` seconds (None: no history yet).

    `wal_complete` says that every byte of WAL from the chain's start to the target is in the repository or the spool.
    `warnings` are sentences for the approver; `basis` says where the estimate comes from.
    """

    server_version: int
    backup_bytes: int
    bytes_to_fetch: int
    wal_bytes: int
    disk_needed: int
    disk_free: int
    wal_complete: bool
    estimate_s: float | None
    basis: str
    target_text: str
    warnings: tuple[str, ...] = ()

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
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Facts:
        """Read what `as_json` wrote."""
        return cls(**{**data, "warnings": tuple(data["warnings"])})


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done and what was true: `steps` are approved by hash, `facts` are shown and bounded."""

    steps: Steps
    facts: Facts

    @property
    def steps_hash(self) -> str:
        """The SHA-256 (hex) of the canonical JSON of the steps."""
        return hashlib.sha256(canonical_json(self.steps.as_json())).hexdigest()


def canonical_json(value: object) -> bytes:
    """Return the one byte form of a JSON value: sorted keys, no spaces, UTF-8; no floats belong in it.

    Bytes that were no UTF-8 where they came from (a Latin-1 comment in postgresql.conf), Python's lone surrogates, are
    written as JSON's escapes and read back the same.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Observed:
    """What the executor sees just before it starts; compared with the plan by `still_holds`. Sizes are bytes."""

    manifests: dict[str, str]
    wal_complete: bool
    disk_free: int
    directory_empty: bool
    port_free: bool
    policy_version: str
    server_version: int


def still_holds(plan: Plan, observed: Observed) -> list[str]:
    """Return what no longer holds, one sentence each; an empty list means the plan may be carried out. Pure."""
    steps, facts = plan.steps, plan.facts
    broken = []
    for link in steps.chain:
        found = observed.manifests.get(link.backup)
        if found is None:
            broken.append(f"Backup {link.backup} is no longer in the repository.")
        elif found != link.manifest_sha256:
            broken.append(f"Backup {link.backup} is not the one the plan was made for: its manifest changed.")
    if not observed.wal_complete:
        broken.append("The WAL from the backup to the target is no longer complete.")
    if observed.disk_free < facts.disk_needed:
        broken.append(
            f"Too little disk for {steps.destination.directory}: "
            f"{observed.disk_free} bytes free, {facts.disk_needed} needed."
        )
    if not observed.directory_empty:
        broken.append(f"{steps.destination.directory} is not empty any more.")
    if not observed.port_free:
        broken.append(f"Port {steps.destination.port} is in use.")
    if observed.policy_version != steps.policy_version:
        broken.append("The approval policy changed after the plan was made.")
    if observed.server_version // 10000 != facts.server_version // 10000:
        broken.append(f"PostgreSQL {facts.server_version // 10000} is not installed here any more.")
    return broken

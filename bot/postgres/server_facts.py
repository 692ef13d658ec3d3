"""What a backup records about its server, so that a restore can be prepared without it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bot.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One configuration file: `kind` is config, auto, hba, ident or include; `inside` says whether it lies in PGDATA."""

    kind: str
    path: str
    inside: bool
    text: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server at one moment; JSON types only below the first level. `config_missing` says why files are not stored, or is None."""

    version_num: int
    version: str
    system_id: str
    segment_bytes: int
    block_bytes: int
    data_checksums: bool
    data_directory: str | None
    in_recovery: bool
    bootstrap_superuser: str
    settings: dict[str, str]
    """Every setting that differs from its built-in default, and all that a restore needs, in the units of `pg_settings`' SHOW form."""
    config_files: tuple[ConfigFile, ...]
    config_missing: str | None
    hba_rules: list[dict[str, Any]]
    databases: list[dict[str, Any]]
    """name, oid, encoding, collate, ctype, provider, icu_locale, collation_version (recorded and actual), allow_connections."""
    extensions: list[dict[str, Any]]
    """database, name, version."""
    collations: list[dict[str, Any]]
    """database, name, provider, version recorded, version actual."""
    tablespaces: list[dict[str, Any]]
    """oid, name, location."""
    slots: list[dict[str, Any]]
    operating_system: str

    def as_json(self) -> dict[str, Any]:
        """Return JSON types only, as stored in the backup's manifest."""
        return asdict(self)


def server_facts(observe: Connection, data_directory: Path | None) -> ServerFacts:
    """Read everything a restore will want to know; what the role may not read is left out, visibly.

    Raises:
        Unavailable: the server went away.
    """
    raise NotImplementedError

"""Is this server fit to be backed up? Settings and rights, each problem with the exact line that puts it right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.config import ClusterConfig

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked point: `sentence` for people, `fix` the line that puts it right (empty when ok)."""

    level: Level
    code: str
    sentence: str
    fix: str = ""


def check_server(cluster: ClusterConfig) -> list[Finding]:
    """Check settings, rights and pg_hba of one cluster. Never raises for what it finds: an unreachable server is a finding."""
    raise NotImplementedError

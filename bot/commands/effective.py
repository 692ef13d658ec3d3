"""The effective configuration as one would write it: TOML, durations like 30m, passwords left out. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from bot.log import redact
from bot.model.amounts import size
from bot.model.conditions.backups import FLOORS
from bot.model.retention import KINDS

if TYPE_CHECKING:
    from bot.config import Config

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def effective(config: BaseModel) -> dict[str, Any]:
    """Return every setting with its value, defaults included, as JSON types; what is unset is null."""
    return {name: _plain(getattr(config, name)) for name in type(config).model_fields}


def in_force(config: Config, *, cores: int) -> dict[str, Any]:
    """Return every setting as `effective` does, with what stands behind a default that leaves the choice to Pitstop.

    `cores` is how many this process may use: as many workers are started where no number is configured.
    """
    found = effective(config)
    found["restore"]["workers"] = config.restore.workers or cores
    for name, cluster in config.clusters.items():
        found["clusters"][name]["workers"] = cluster.workers or cores
        found["clusters"][name]["repositories"] = list(config.cluster_repositories(name))
    return found


def floor_lines(config: Config) -> Iterator[str]:
    """Yield a TOML comment for each cluster whose smallest backup is not configured: what is held against it then."""
    floors = ", ".join(f"{size(least)} of a {KINDS[kind]}" for kind, least in FLOORS.items())
    for name, cluster in config.clusters.items():
        if cluster.alerts.min_backup_bytes is None:
            yield f"# clusters.{_key(name)}.alerts.min_backup_bytes is not set: at least {floors}, before compression"


def toml_lines(settings: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield `settings` as the lines of a TOML file; what is unset is left out."""
    tables = {name: value for name, value in settings.items() if isinstance(value, dict) and value}
    for name, value in settings.items():
        if name not in tables and value not in (None, {}):
            yield f"{_key(name)} = {_value(value)}"
    for name, table in tables.items():
        where = f"{path}.{_key(name)}" if path else _key(name)
        lines = list(toml_lines(table, where))
        if lines and not lines[0].startswith("\n["):
            yield f"\n[{where}]"
        yield from lines


def duration(value: timedelta) -> str:
    """Return a duration as the configuration reads it: `30m`, `1h30m`, `0s`."""
    left, words = value.total_seconds(), ""
    for unit, seconds in _UNITS:
        count, left = divmod(left, seconds)
        words += f"{int(count)}{unit}" if count else ""
    return words + (f"{round(left * 1000)}ms" if left >= 0.001 else "") or "0s"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return effective(value)
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, timedelta):
        return duration(value)
    return redact(str(value)) if isinstance(value, str | PurePath) else value


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = [f"{_key(name)} = {_value(inner)}" for name, inner in value.items() if inner is not None]
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=False)

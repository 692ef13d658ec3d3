"""What every table of the configuration is made of: durations, paths, secrets."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationInfo,
)

from bot.errors import Usage

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(value: object) -> object:
    """Read `30m`, `1h30m`, `7d`; numbers are seconds."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return timedelta(seconds=value)
    if isinstance(value, str):
        text = value.strip()
        if text and not _DURATION.sub("", text).strip():
            return timedelta(seconds=sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(text)))
        raise ValueError("write a duration like 30s, 10m, 2h or 7d")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


def _beside_the_file(value: Path, info: ValidationInfo) -> Path:
    """Read a relative path from the configuration's own folder: jobs run with `/` as their working directory."""
    return Path(info.context["folder"], value) if info.context else value


FilePath = Annotated[Path, AfterValidator(_beside_the_file)]


class Table(BaseModel):
    """One table of the file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def secret(variable: str, file: Path | None) -> str | None:
    """Return what the environment's `variable` holds, else the content of `file`; None without either.

    Raises:
        Usage: the file cannot be read.
    """
    if value := os.environ.get(variable):
        return value.strip()
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Usage(
            f"{file} ({variable}) cannot be read: {error.strerror}.",
            hint="Is the path right, and may this user read it?",
        ) from None

"""Which configuration file the command line names; kept apart so that commands can be listed without importing anything."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path

config_path: ContextVar[Path | None] = ContextVar("config_path", default=None)
"""What `--config` said, or None for the default places."""

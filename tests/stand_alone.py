"""The stand-alone script that decrypts a repository without Pitstop: where it lies, and as a module."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "decrypt.py"


def as_module() -> Any:
    """Return the script, imported."""
    spec = importlib.util.spec_from_file_location("decrypt_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

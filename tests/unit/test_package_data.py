"""What is installed is whole: files that are no modules are named in the packaging, so that a wheel's page is a checkout's."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_file_beside_the_modules_is_packaged() -> None:
    """Each file under `bot` that is no Python fits a pattern of package-data, and its folder is a package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    files = [path for path in (ROOT / "bot").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert any(path.name == "index.html" for path in files)
    assert [str(path) for path in files if not any(fnmatch(path.name, pattern) for pattern in patterns)] == []
    assert [str(path) for path in files if not (path.parent / "__init__.py").exists()] == []

"""The Dockerfile, as far as it goes without Docker: from what it copies, and nothing else, a whole package is built."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGES = re.split(r"^FROM .*\n", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)[1:]


def copied(into: Path) -> None:
    """Copy what the first stage copies, as Docker does: of a folder its contents, without what was compiled beside them."""
    for line in re.findall(r"^COPY (?!--)(.+)$", STAGES[0], re.MULTILINE):
        *sources, place = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, into / place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                folder = into / place
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, folder)


def test_a_package_is_built_from_what_is_copied(tmp_path: Path) -> None:
    """The stage's own `pip wheel` succeeds there, and the wheel holds every module, every file beside one, and the script."""
    copied(tmp_path / "src")
    assert "pip wheel --no-cache-dir --no-deps -w /wheels ." in STAGES[0]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "--no-build-isolation", "-w", "wheels", "./src"],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    [wheel] = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        [script] = [name for name in names if name.endswith("share/pitstop/decrypt.py")]
        assert opened.read(script) == (ROOT / "docs/decrypt.py").read_bytes()
    for package in ("bot", "handlers", "jobs"):
        files = [path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert {str(path.relative_to(ROOT)) for path in files} <= names


def test_what_the_image_installs_is_what_the_package_asks_for() -> None:
    """Each requirement, and each of the extras the image has, is in its lock, with hashes; nobody runs as root."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [project["optional-dependencies"][name] for name in ("binary", "azure", "notify", "digest")]
    lock = (ROOT / "requirements-runtime.lock").read_text("utf-8")
    locked = {_plain(name) for name in re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE)}
    wanted = [*project["dependencies"], *(one for extra in extras for one in extra)]
    assert {_plain(re.split(r"[\[<>=;~! ]", one)[0]) for one in wanted} <= locked
    assert len(re.findall(r"^\S+==", lock, re.MULTILINE)) <= lock.count("--hash=sha256:")
    assert re.search(r"^USER pitstop$", STAGES[1], re.MULTILINE)
    assert '["tini", "--"]' in STAGES[1]
    assert '["pitstop", "healthcheck"]' in STAGES[1]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

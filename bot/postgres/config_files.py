"""A server's configuration files with everything they include, read through the server or, on its own host, from disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psycopg

from bot.postgres.connect import Connection

_INCLUDE = re.compile(
    r"^\s*(?P<how>include_dir|include_if_exists|include)\s*=?\s*(?:'(?P<quoted>(?:[^']|'')*)'|\"(?P<double>[^\"]*)\"|(?P<bare>[^\s#]+))"
)
_AT = re.compile(r"@(?:\"([^\"]+)\"|([^\s,#]+))")
_DEPTH = 10
_MAIN = {"config_file": "config", "hba_file": "hba", "ident_file": "ident"}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One configuration file: `kind` is config, auto, hba or ident; included ones have the kind of what includes them.

    `inside` says whether it lies in the data directory, and so in the backup's tar as well.
    """

    kind: str
    path: str
    inside: bool
    text: str


@dataclass(frozen=True, slots=True)
class Include:
    """One include directive; `path` is absolute."""

    how: str
    path: str


Read = Callable[[str], str | None]
"""Returns a file's text, or None when there is no such file."""

ListFolder = Callable[[str], Sequence[str]]
"""Returns the names in a folder."""


class Unreadable(Exception):
    """A file exists, or may exist, but this role cannot read it; the text says why."""


def config_files(
    settings: dict[str, str], conn: Connection, *, local: bool
) -> tuple[tuple[ConfigFile, ...], str | None]:
    """Return the configuration files, and why some are missing (None when all are there).

    Reads through the server (pg_read_file) where the role may, else from this host's disk when the server is `local`.
    """
    reader = _Reader(conn, local=local)
    found: dict[str, ConfigFile] = {}
    missing = []
    data_directory = settings.get("data_directory", "")
    mains = [(kind, settings.get(name, "")) for name, kind in _MAIN.items()]
    if data_directory:
        mains.append(("auto", f"{data_directory}/postgresql.auto.conf"))
    for kind, path in mains:
        if not path:
            missing.append(f"the role may not see where the {kind} file is (pg_read_all_settings)")
            continue
        try:
            for file in chain(path, kind, data_directory, reader.text, reader.names):
                found.setdefault(file.path, file)
        except Unreadable as error:
            missing.append(str(error))
    return tuple(found.values()), "; ".join(dict.fromkeys(missing)) or None


def chain(path: str, kind: str, data_directory: str, read: Read, names: ListFolder, depth: int = 0) -> list[ConfigFile]:
    """Return a file and, after it, everything it includes, in the order PostgreSQL reads it; a missing one is left out.

    Raises:
        Unreadable: one of them cannot be read.
    """
    text = read(path)
    if text is None or depth > _DEPTH:
        return []
    inside = bool(data_directory) and PurePosixPath(path).is_relative_to(data_directory)
    files = [ConfigFile(kind, path, inside, text)]
    for include in includes(text, path, hba=kind in {"hba", "ident"}):
        for name in _expanded(include, names):
            files.extend(chain(name, kind, data_directory, read, names, depth + 1))
    return files


def includes(text: str, path: str, *, hba: bool = False) -> list[Include]:
    """Return the include directives of a configuration file; relative paths are seen from the file's folder. Pure.

    In hba and ident files also the lists of names in files of their own (`@names`).
    """
    folder = PurePosixPath(path).parent
    found = []
    for line in text.splitlines():
        match = _INCLUDE.match(line)
        if match is not None:
            target = match["bare"] or match["double"] or (match["quoted"] or "").replace("''", "'")
            found.append(Include(match["how"], str(folder / target)))
        elif hba and not line.lstrip().startswith("#"):
            found.extend(Include("include_if_exists", str(folder / (a or b))) for a, b in _AT.findall(line))
    return found


def _expanded(include: Include, names: ListFolder) -> Iterable[str]:
    """Return the files of an include; of a folder those PostgreSQL reads: *.conf without a leading dot, in C order."""
    if include.how != "include_dir":
        return [include.path]
    wanted = sorted(name for name in names(include.path) if name.endswith(".conf") and not name.startswith("."))
    return [f"{include.path}/{name}" for name in wanted]


class _Reader:
    """Asks the server first; once it refuses, reads this host's disk."""

    def __init__(self, conn: Connection, *, local: bool) -> None:
        self._conn = conn
        self._local = local
        self._through_server = True

    def text(self, path: str) -> str | None:
        if self._through_server:
            try:
                row = self._conn.execute("SELECT pg_read_file(%s, 0, 100000000, true)", [path]).fetchone()
            except psycopg.Error:
                self._through_server = False
            else:
                return str(row[0]) if row and row[0] is not None else None
        return self._from_disk(path)

    def names(self, folder: str) -> Sequence[str]:
        try:
            rows = self._conn.execute("SELECT pg_ls_dir(%s, true, false)", [folder]).fetchall()
        except psycopg.Error:
            return self._names_on_disk(folder)
        return [str(row[0]) for row in rows]

    def _from_disk(self, path: str) -> str | None:
        if not self._local:
            raise Unreadable(f"the role may not read {path} (pg_read_server_files and EXECUTE on pg_read_file)")
        try:
            return Path(path).read_text("utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from None

    def _names_on_disk(self, folder: str) -> Sequence[str]:
        if not self._local:
            raise Unreadable(f"the role may not list {folder} (EXECUTE on pg_ls_dir)")
        try:
            return [path.name for path in Path(folder).iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unreadable(f"{folder}: {error.strerror}") from None

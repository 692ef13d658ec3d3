"""Open a repository named in the configuration: its store, its key, and whether they belong together."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from bot.config import EncryptionConfig, RepositoryConfig
from bot.errors import Unavailable, Usage
from bot.host.files import fsync_dir
from bot.repository.codec import Codec
from bot.repository.keys.file import read_key_file
from bot.repository.keys.ring import KeyRing
from bot.repository.layout import KEYS
from bot.repository.repository import Repository
from bot.repository.stores.files import FilesStore

_IGNORED = frozenset({"lost+found"})


def open_repository(
    name: str, config: RepositoryConfig, encryption: EncryptionConfig, *, create: bool = False
) -> Repository:
    """Open repository `name`; with `create`, make its folder and first data key where they are missing (idempotent).

    Raises:
        Usage: the key file is missing, unreadable, open to others, malformed or not this repository's; the folder is
            missing, not a folder or not a repository.
        Unavailable: the storage cannot be reached.
        ObjectDamaged: a wrapped data key is damaged.
    """
    wrapper = read_key_file(encryption.key_file)
    root = Path(unquote(config.url.removeprefix("file://")))
    if create:
        _make_folder(name, root)
    _check_folder(name, root, create=create)
    store = FilesStore(root)
    keys = KeyRing(store, wrapper)
    if create and not keys.ids():
        _check_unused(name, root)
        keys.create()
    keys.current()
    return Repository(name, store, keys, Codec(config.codec, config.level))


def _make_folder(name: str, root: Path) -> None:
    try:
        missing = [folder for folder in (root, *root.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            fsync_dir(folder.parent)
    except OSError as error:
        raise Unavailable(
            f"The folder {root} of repository {name} cannot be made: {error.strerror}.",
            hint="May this user write to its parent folder?",
            code="storage-forbidden",
        ) from error


def _check_folder(name: str, root: Path, *, create: bool) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise Usage(
            f"Repository {name} is at {root}, which is not a folder.",
            hint="Is the url in the configuration right?",
            code="repository-not-a-folder",
        )
    assert not create, "a folder was just made"
    raise Usage(
        f"Repository {name} has no folder {root}.",
        hint="Is its disk mounted? For a new repository run `pitstop keys init`.",
        code="repository-missing",
    )


def _check_unused(name: str, root: Path) -> None:
    """Refuse to begin a repository in a folder that holds other things, or whose keys were lost."""
    others = sorted(e.name for e in root.iterdir() if e.name not in _IGNORED | {KEYS} and not e.name.startswith("."))
    if others:
        raise Usage(
            f"The folder {root} of repository {name} is not empty and has no keys: it holds {', '.join(others[:3])}.",
            hint=f"Name an empty folder. If backups are there already, bring back its folder {KEYS} from a copy.",
            code="not-a-repository",
        )

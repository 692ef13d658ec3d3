"""Open a repository named in the configuration: its store, its key, and whether they belong together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.config import EncryptionConfig, RepositoryConfig
from bot.errors import Unavailable, Usage
from bot.host.files import fsync_dir
from bot.repository.codec import Codec
from bot.repository.keys.configured import configured_wrappers
from bot.repository.keys.ring import KeyRing
from bot.repository.layout import KEYS
from bot.repository.repository import Repository
from bot.repository.stores import Store
from bot.repository.stores.files import FilesStore
from bot.repository.transfer import copy_key

_IGNORED = frozenset({"lost+found"})


def open_repository(
    name: str,
    config: RepositoryConfig,
    encryption: EncryptionConfig,
    *,
    create: bool = False,
    like: Sequence[Repository] = (),
) -> Repository:
    """Open repository `name`; with `create`, make its folder and first data key where they are missing (idempotent).

    The first data key is then the newest that those in `like` write with; only where there are none a new one is made.
    A bucket or container is never made here; `pitstop storage setup` does that.

    Raises:
        Usage: no key under [encryption] opens the newest data key (a file is missing, unreadable, open to others, malformed
            or of another repository; a service refuses), and for `create` any of them; the folder is missing, not a folder
            or not a repository; the settings do not fit.
        Unavailable: the storage, or the one key service that could open it, cannot be reached, or refuses.
        ObjectDamaged: a wrapped data key is damaged, and no other form opens.
    """
    keys = open_ring(name, config, encryption, create=create)
    opened = Repository(name, keys.store, keys, Codec(config.codec, config.level))
    if create and not keys.ids():
        _check_unused(name, config, keys.store)
        if like:
            newest = max(like, key=lambda other: other.keys.current()[0])
            copy_key(newest, opened, newest.keys.current()[0])
        else:
            keys.create()
    keys.current()
    return opened


def open_ring(name: str, config: RepositoryConfig, encryption: EncryptionConfig, *, create: bool = False) -> KeyRing:
    """Open the data keys of repository `name` without opening any of them.

    Raises:
        Usage, Unavailable: as `open_store`.
    """
    return KeyRing(open_store(name, config, create=create), configured_wrappers(encryption))


def open_store(name: str, config: RepositoryConfig, *, create: bool = False) -> Store:
    """Open the store of repository `name` by the scheme of its URL; `create` makes a missing folder.

    Raises:
        Usage: the folder is missing or not a folder; the settings do not fit; an extra is not installed.
        Unavailable: the folder cannot be made.
    """
    if config.directory is not None:
        if create:
            _make_folder(name, config.directory)
        _check_folder(name, config.directory, create=create)
        return FilesStore(config.directory)
    if config.scheme == "s3":
        from bot.repository.stores.s3 import open_s3

        return open_s3(name, config)
    try:
        from bot.repository.stores.azure import open_azure
    except ModuleNotFoundError as error:
        raise Usage(
            f"Repository {name} is in Azure, and the Python module {error.name} is not installed.",
            hint="Install Pitstop with its extra: pip install 'pitstop[azure]'.",
            code="extra-missing",
        ) from None
    return open_azure(name, config)


def _make_folder(name: str, root: Path) -> None:
    try:
        missing = [folder for folder in (root, *root.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            fsync_dir(folder.parent)
    except (NotADirectoryError, FileExistsError):
        raise _not_a_folder(name, root) from None
    except OSError as error:
        raise Unavailable(
            f"The folder {root} of repository {name} cannot be made: {error.strerror}.",
            hint="May this user write to its parent folder?",
            code="storage-forbidden",
        ) from error


def _check_folder(name: str, root: Path, *, create: bool) -> None:
    try:
        if root.is_dir():
            return
        there = root.exists()
    except OSError as error:
        raise Unavailable(
            f"The folder {root} of repository {name} cannot be looked at: {error.strerror}.",
            hint="May the user that runs this enter the folders above it?",
            code="storage-forbidden",
        ) from error
    if there:
        raise _not_a_folder(name, root)
    assert not create, "a folder was just made"
    raise Usage(
        f"Repository {name} has no folder {root}.",
        hint=f"Is its disk mounted, and repositories.{name}.url right? For a new repository run `pitstop keys init`.",
        code="repository-missing",
    )


def _not_a_folder(name: str, root: Path) -> Usage:
    file = next((path for path in (root, *root.parents) if path.exists()), root)
    where = f"is at {root}, which" if file == root else f"is at {root}, and {file}"
    return Usage(
        f"Repository {name} {where} is not a folder.",
        hint=f"Is repositories.{name}.url in the configuration right?",
        code="repository-not-a-folder",
    )


def _check_unused(name: str, config: RepositoryConfig, store: Store) -> None:
    """Refuse to begin a repository in a place that holds other things, or whose keys were lost."""
    if config.directory is not None:
        there = [entry.name for entry in config.directory.iterdir() if not entry.name.startswith(".")]
    else:
        there = store.children("")
    others = sorted(set(there) - _IGNORED - {KEYS})
    if others:
        what = f"The folder {config.directory}" if config.directory else f"The place {config.url}"
        raise Usage(
            f"{what} of repository {name} is not empty and has no keys: it holds {', '.join(others[:3])}.",
            hint=f"Name an empty folder. If backups are there already, bring back its folder {KEYS} from a copy.",
            code="not-a-repository",
        )

"""`pitstop keys`: make the key that everything is encrypted with, and see which keys repositories hold."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.commands.output import AsJson, say, show, table

if TYPE_CHECKING:
    from bot.config import Config


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Encryption keys.", rich_markup_mode=None)
    group.command("init")(init)
    group.command("list")(list_keys)
    app.add_typer(group, name="keys")


def init(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="Only make a key file there; no configuration is read.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the key file, and begin the repositories that are new.

    The key file of the configuration is made (0600) where it is missing; what is there is never overwritten.

    Without the key no backup can ever be read: keep a copy away from this machine.
    """
    from bot.commands.surroundings import read_config
    from bot.repository.keys.file import create_key_file, read_key_file
    from bot.repository.open import open_repository

    config = None if path else read_config()[0]
    where = config.encryption.key_file if config else Path(path or "").expanduser().absolute()
    made = config is None or not where.exists()
    if config and made:
        _require_new(config, where)
    key = create_key_file(where) if made else read_key_file(where).id
    repositories = dict(config.repositories) if config else {}
    for name, repository in repositories.items():
        assert config is not None
        open_repository(name, repository, config.encryption, create=True)

    def lines() -> None:
        say(f"{'Made the' if made else 'There is the'} key {key} in {where}.")
        for name in repositories:
            say(f"Repository {name} is ready.")
        say("Keep a copy of the key away from this machine: without it no backup can ever be read.")

    document = {"key": key, "path": str(where), "made": made, "repositories": list(repositories)}
    show(document, lines, as_json=as_json)


def _require_new(config: Config, where: Path) -> None:
    """Refuse to make a key where a repository was begun with another one. Writes nothing.

    Raises:
        Usage: a repository has data keys, so the key that opens them is the one that is missing.
        Unavailable: a storage cannot be asked.
    """
    from bot.errors import Usage
    from bot.repository.layout import KEYS
    from bot.repository.open import open_store

    for name, repository in config.repositories.items():
        if repository.directory is not None and not repository.directory.is_dir():
            continue
        if open_store(name, repository).children(KEYS):
            raise Usage(
                f"Repository {name} was begun with a key, and its file {where} is missing; a new key would open nothing in it.",
                hint=f"Bring the copy of the key back: install -m 0600 COPY {shlex.quote(str(where))}",
                code="key-missing",
            )


def list_keys(as_json: AsJson = False) -> None:
    """List the data keys, and prove that the key file opens them."""
    from bot.commands.surroundings import read_config
    from bot.repository.open import open_repository

    config, _ = read_config()
    rows = []
    for name, repository in config.repositories.items():
        opened = open_repository(name, repository, config.encryption)
        for key in opened.keys.ids():
            opened.keys.key(key)
            rows.append({"repository": name, "key": key, "opened_by": str(config.encryption.key_file)})
    lines = [(row["repository"], row["key"], row["opened_by"]) for row in rows]
    empty = "No repository has a data key yet; `pitstop keys init` makes one."
    show({"keys": rows}, lambda: table(("repository", "data key", "opened by"), lines, empty=empty), as_json=as_json)

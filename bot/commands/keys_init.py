"""`pitstop keys init`: make the keys that everything is encrypted with, begin repositories, and say what to keep where."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, say, show

if TYPE_CHECKING:
    from bot.config import Config
    from bot.config.repositories import Wrapping
    from bot.repository.keys.ring import KeyRing


def init(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="Only make a key file there; no configuration is read.")
    ] = None,
    anew: Annotated[
        list[str] | None,
        typer.Option(
            "--anew", metavar="REPOSITORY", help="Begin it anew although it held backups: they are gone for good."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make missing keys, and begin new repositories.

    Key files and passphrases of the configuration are made (0600) where they are missing; what is there is never
    overwritten. Keys in a service are made there, not here.

    Any one of several keys opens everything; without all of them no backup can ever be read. Keep copies of key files, and the
    passphrase on paper, away from this machine.
    """
    done = _only_a_file(path, anew or ()) if path else _all_configured(anew or ())
    show(done.as_json(), lambda: _say(done), as_json=as_json)


@dataclass(frozen=True)
class _Done:
    """What was made or found: `keys` as `_made` says it; `begun` just now; `late` says what is not wrapped with all keys yet."""

    sources: Sequence[Wrapping]
    keys: list[dict[str, Any]]
    repositories: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as the command answers; the first key that is in a file is told alone, too."""
        first = next((key for key in self.keys if key["path"]), {"key": None, "path": None, "made": False})
        return {
            **{name: first[name] for name in ("key", "path", "made")},
            "keys": self.keys,
            "repositories": self.repositories,
            "begun": self.begun,
        }


def _only_a_file(path: Path, anew: Collection[str]) -> _Done:
    """Make one key file; no configuration is read."""
    from bot.config.repositories import Wrapping

    _require_known(anew, ())
    one = Wrapping("file", str(path.expanduser().absolute()))
    return _Done((one,), [_made(one, made=True)])


def _all_configured(anew: Collection[str]) -> _Done:
    """Make what the configuration names and is missing; whatever stands against it is said before anything is made."""
    from bot.commands.surroundings import read_config

    config, _ = read_config()
    sources = config.encryption.wrapping
    missing = {one for one in sources if one.is_file and not Path(one.place).exists()}
    if missing:
        _require_new(config, missing)
    new = _not_begun(config)
    _require_known(anew, config.repositories)
    _require_unused(config, [name for name in new if name not in anew])
    _require_same(config, new)
    keys = [_made(one, made=one in missing) for one in sources]
    return _Done(sources, keys, list(config.repositories), new, _begin_all(config, missing))


def _begin_all(config: Config, missing: set[Wrapping]) -> list[str]:
    """Begin every repository that is not; say of which some data keys are not wrapped with all keys yet."""
    from bot.repository.open import open_repository

    made_now = {f"{one.kind}:{one.place}" for one in missing}
    rings = {
        name: open_repository(name, repository, config.encryption, create=True).keys
        for name, repository in config.repositories.items()
    }
    several = len(config.encryption.wrapping) > 1
    return [_lacks(name, ring, made_now) for name, ring in rings.items() if several and _lacks_forms(ring)]


def _say(done: _Done) -> None:
    for key in done.keys:
        say(_said_of(key))
    for name in done.repositories:
        say(f"Repository {name} {'was begun' if name in done.begun else 'is ready'}.")
    for sentence in (*done.late, *_to_keep(done.sources, late=bool(done.late))):
        say(sentence)


def _said_of(key: Mapping[str, Any]) -> str:
    """Return the line of one key, as `_made` says it. Pure."""
    if not key["path"]:
        return f"{key['source']} is asked when it is needed."
    what = f"the key {key['key']}" if key["key"] else "the passphrase"
    return f"{'Made' if key['made'] else 'There is'} {what} in {key['path']}."


def _made(one: Wrapping, *, made: bool) -> dict[str, Any]:
    """Make or read what is in a file, and return what is said of it; a service is only named."""
    from bot.repository.keys.file import create_key_file, read_key_file
    from bot.repository.keys.passphrase import Passphrase, create_passphrase_file

    where, key = Path(one.place), None
    if one.kind == "file":
        key = create_key_file(where) if made else read_key_file(where).id
    elif one.kind == "passphrase":
        if made:
            create_passphrase_file(where)
        assert Passphrase(where).secret, "it is read, and refused where it is not as it must be"
    path = one.place if one.is_file else None
    return {"source": f"{one.kind}:{one.place}", "kind": one.kind, "key": key, "path": path, "made": made}


def _to_keep(sources: Sequence[Wrapping], *, late: bool) -> Iterator[str]:
    """Yield what is to be kept where, and what is lost without it; `late`: not everything is wrapped with all keys yet. Pure."""
    if len(sources) > 1:
        opens = f"{'After that any' if late else 'Any'} one of these {len(sources)} keys opens everything"
        yield f"{opens}; without all of them no backup can ever be read."
    for one in sources:
        alone = "" if len(sources) > 1 else " Without it no backup can ever be read."
        match one.kind:
            case "file":
                yield f"Keep a copy of the key file {one.place} away from this machine.{alone}"
            case "passphrase":
                shown = f"sudo cat {shlex.quote(one.place)}"
                yield f"Read the passphrase and write it down, to be kept away from this machine: {shown}{'.' * bool(alone)}{alone}"
            case _:
                yield f"See that nobody deletes or disables {one.kind}:{one.place}.{alone}"


def _require_new(config: Config, missing: set[Wrapping]) -> None:
    """Refuse to make keys where a repository was begun and nothing else opens it. Writes nothing.

    Raises:
        Usage: a repository has data keys, so the key that opens them is the one that is missing.
        Unavailable: a storage or a service cannot be asked.
    """
    from bot.errors import Usage
    from bot.repository.layout import KEYS
    from bot.repository.open import open_ring, open_store

    where = min(missing).place
    for name, repository in config.repositories.items():
        if repository.directory is not None and not repository.directory.is_dir():
            continue
        if not open_store(name, repository).children(KEYS):
            continue
        if len(missing) < len(config.encryption.wrapping):
            open_ring(name, repository, config.encryption).current()
            continue
        raise Usage(
            f"Repository {name} was begun with a key, and its file {where} is missing; a new key would open nothing in it.",
            hint=f"Bring the copy of the key back: install -m 0600 COPY {shlex.quote(where)}",
            code="key-missing",
        )


def _require_known(names: Collection[str], known: Collection[str]) -> None:
    """Refuse a name that is no repository's, before anything is made.

    Raises:
        Usage: `unknown-repository`.
    """
    from bot.errors import Usage
    from bot.model.typed import quoted

    for name in names:
        if name not in known:
            there = (
                f"The configuration has {', '.join(known)}." if known else "Leave PATH out: it makes a key file only."
            )
            raise Usage(f"There is no repository {quoted(name)}.", hint=there, code="unknown-repository")


def _not_begun(config: Config) -> list[str]:
    """Return the repositories that hold no data keys yet, or whose folder is not there."""
    from bot.repository.layout import KEYS
    from bot.repository.open import open_store

    return [
        name
        for name, repository in config.repositories.items()
        if (repository.directory is not None and not repository.directory.is_dir())
        or not open_store(name, repository).children(KEYS)
    ]


def _require_unused(config: Config, new: Sequence[str]) -> None:
    """Refuse to begin a repository that held backups: its disk is not mounted, or its folder was moved. Writes nothing.

    Raises:
        Usage: `repository-gone`, naming what the ledger knows of it.
    """
    from bot.errors import Usage
    from bot.ledger import Ledger, catalogue
    from bot.model.ids import ClusterName
    from jobs.repositories import was_used

    if not config.ledger.exists():
        return
    ledger = Ledger(config.ledger)
    for name in new:
        for cluster in config.clusters:
            if not was_used(ledger, ClusterName(cluster), name):
                continue
            with ledger.read() as tx:
                known = catalogue.list(tx, ClusterName(cluster), name)
            held = (
                f"{len(known)} backups of {cluster}, the newest {max(one.id for one in known)}"
                if known
                else f"WAL of {cluster}"
            )
            raise Usage(
                f"Repository {name} held {held}, and nothing of it is at {config.repositories[name].url} now.",
                hint="Is its disk mounted, or was its folder moved? "
                f"If all that is gone for good, begin it anew: pitstop keys init --anew {name}",
                code="repository-gone",
            )


def _require_same(config: Config, new: Sequence[str]) -> None:
    """Refuse to begin a repository with a key that did not make the forms of its kind in another: it may be mistyped.

    Raises:
        Usage: `key-changed`.
        Unavailable: a storage cannot be asked.
    """
    from bot.repository.keys.strangers import require_same
    from bot.repository.open import open_ring

    begun = [name for name in config.repositories if name not in new]
    if 0 < len(begun) < len(config.repositories):
        for name in begun:
            require_same(open_ring(name, config.repositories[name], config.encryption), name)


def _lacks(name: str, ring: KeyRing, made_now: Collection[str]) -> str:
    """Return how what a repository holds comes to be wrapped with all keys: one made just now is meant, another may be mistyped."""
    from bot.repository.keys.strangers import stranger_error, strangers

    unlike = strangers(ring)
    for source, paths in unlike.items():
        if source not in made_now:
            error = stranger_error(ring, source, paths, name)
            return f"{error.message} {error.hint}"
    command = f"pitstop keys rotate --rewrap-only{' --key-changed' * bool(unlike)}"
    return f"What {name} holds is not wrapped with all of them yet: {command}"


def _lacks_forms(ring: KeyRing) -> bool:
    """Say whether some data key has no form by some key, as far as can be told without asking services."""
    from bot.repository.keys.strangers import made_by

    stored = [ring.forms(key_id) for key_id in ring.ids()]
    return any(made_by(wrapper, forms) == [] for forms in stored for wrapper in ring.wrappers)

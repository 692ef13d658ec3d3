"""`pitstop keys`: make the keys that everything is encrypted with, see what they open, and rotate."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, remark, say, show, table, when

if TYPE_CHECKING:
    from bot.config import Config, EncryptionConfig, RepositoryConfig
    from bot.config.repositories import Wrapping
    from bot.repository.keys.ring import KeyRing
    from bot.repository.keys.survey import KeyState
    from bot.repository.keys.uses import Uses

_DAMAGE, _FAILED = 4, 1


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    from bot.commands.keys_rotate import rotate

    group = typer.Typer(help="Encryption keys.", rich_markup_mode=None)
    group.command("init")(init)
    group.command("list")(list_keys)
    group.command("check")(check)
    group.command("rotate")(rotate)
    app.add_typer(group, name="keys")


def init(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="Only make a key file there; no configuration is read.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make missing keys, and begin new repositories.

    Key files and passphrases of the configuration are made (0600) where they are missing; what is there is never
    overwritten. Keys in a service are made there, not here.

    Without a key no backup can ever be read: keep copies away from this machine.
    """
    from bot.commands.surroundings import read_config
    from bot.config.repositories import Wrapping
    from bot.repository.keys.strangers import strangers
    from bot.repository.open import open_repository

    config = None if path else read_config()[0]
    sources = (
        config.encryption.wrapping if config else (Wrapping("file", str(Path(path or "").expanduser().absolute())),)
    )
    missing = {one for one in sources if one.is_file and not Path(one.place).exists()} if config else set(sources)
    if config and missing:
        _require_new(config, missing)
    if config:
        _require_same(config)
    keys = [_made(one, made=one in missing) for one in sources]
    repositories = dict(config.repositories) if config else {}
    late: dict[str, bool] = {}
    for name, repository in repositories.items():
        assert config is not None
        ring = open_repository(name, repository, config.encryption, create=True).keys
        if missing and len(sources) > 1 and _lacks_forms(ring):
            late[name] = bool(strangers(ring))

    def lines() -> None:
        for key in keys:
            named = (
                f"the key {key['key']} in" if key["key"] else "the passphrase in" if key["kind"] == "passphrase" else ""
            )
            verb = "Made" if key["made"] else "There is"
            say(f"{verb} {named} {key['path']}." if named else f"{key['source']} is asked when it is needed.")
        for name in repositories:
            say(f"Repository {name} is ready.")
        for name, changed in late.items():
            command = f"pitstop keys rotate --rewrap-only{' --key-changed' * changed}"
            say(f"What {name} holds is not wrapped with all of them yet: {command}")
        say("Keep a copy of the key away from this machine: without it no backup can ever be read.")

    files = [key for key in keys if key["path"]]
    first = files[0] if files else {"key": None, "path": None, "made": False}
    document = {
        "key": first["key"],
        "path": first["path"],
        "made": first["made"],
        "keys": keys,
        "repositories": list(repositories),
    }
    show(document, lines, as_json=as_json)


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


def _require_same(config: Config) -> None:
    """Refuse to begin a repository with a key that did not make the forms of its kind in another: it may be mistyped.

    Raises:
        Usage: `key-changed`.
        Unavailable: a storage cannot be asked.
    """
    from bot.repository.keys.strangers import require_same
    from bot.repository.layout import KEYS
    from bot.repository.open import open_ring, open_store

    begun = [
        name
        for name, repository in config.repositories.items()
        if (repository.directory is None or repository.directory.is_dir())
        and open_store(name, repository).children(KEYS)
    ]
    if 0 < len(begun) < len(config.repositories):
        for name in begun:
            require_same(open_ring(name, config.repositories[name], config.encryption), name)


def _lacks_forms(ring: KeyRing) -> bool:
    from bot.repository.keys.survey import survey

    return any(key.without for key in survey(ring))


def list_keys(as_json: AsJson = False) -> None:
    """List the data keys, and what opens each of them now.

    Each with when it was made, its wrapped forms, and what it seals.
    """
    from bot.commands.surroundings import read_config

    config, _ = read_config()
    rows = []
    for name, repository in config.repositories.items():
        ring, found, uses = _looked(name, repository, config.encryption)
        ring.current()  # where not even the newest opens, nothing else needs to be said
        rows += [_row(name, key, uses.get(key.key_id), newest=key is found[-1]) for key in found]

    def lines() -> None:
        heads = ("repository", "data key", "made (UTC)", "form", "wrapped with", "opens now", "backups")
        cells = []
        for row in rows:
            for number, form in enumerate(row["forms"]):
                front = (
                    (row["repository"], row["key"], when(row["made_at"]).removesuffix(" UTC"))
                    if number == 0
                    else ("",) * 3
                )
                backups = str(row["backups"]) if number == 0 else ""
                wrapped = f"{form['kind']} {form['name']}".strip()
                told = f"yes, {form['source']}" if form["state"] == "opens" else f"no: {form['problem']}"
                cells.append((*front, form["path"].rsplit("/", 1)[1], wrapped, told, backups))
        table(heads, cells, empty="No repository has a data key yet; `pitstop keys init` makes one.")

    show({"keys": rows}, lines, as_json=as_json)


def _looked(
    name: str, repository: RepositoryConfig, encryption: EncryptionConfig
) -> tuple[KeyRing, list[KeyState], dict[str, Uses]]:
    from bot.repository.keys.survey import survey
    from bot.repository.keys.uses import uses_of
    from bot.repository.open import open_ring

    ring = open_ring(name, repository, encryption)
    return ring, survey(ring), uses_of(ring.store)


def _row(name: str, key: KeyState, uses: Uses | None, *, newest: bool) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "repository": name,
        "key": key.key_id,
        "made_at": key.made_at,
        "newest": newest,
        "opens": key.opens,
        "forms": [asdict(form) for form in key.forms],
        "missing": list(key.without),
        "backups": len(uses.backups) if uses else 0,
        "wal": [asdict(one) for one in uses.wal] if uses else [],
    }


def check(as_json: AsJson = False) -> int:
    """Check that every key opens, and everything has a form by each.

    A data key that no key opens any more is told with the backups and WAL it takes along. Exit code 1: a key does not work,
    is not the one that made the forms of its kind, or lacks one; 4: a data key is lost.
    """
    from bot.commands.surroundings import read_config
    from bot.repository.keys.configured import configured_wrappers, problem_of
    from bot.repository.keys.strangers import stranger_error, strangers
    from bot.repository.keys.uses import takes_along

    config, _ = read_config()
    problems = {wrapper.source: problem_of(wrapper) for wrapper in configured_wrappers(config.encryption)}
    lost, lacking, rows = [], [], []
    for name, repository in config.repositories.items():
        ring, found, uses = _looked(name, repository, config.encryption)
        unlike = strangers(ring)
        for source, paths in unlike.items():
            problems[source] = problems[source] or stranger_error(source, paths, name)
        for key in found:
            rows.append(_row(name, key, uses.get(key.key_id), newest=key is found[-1]))
            if not key.opens:
                said = (
                    "No key under [encryption] opens" if key.certain else "Nothing that could be asked just now opens"
                )
                along = takes_along(uses.get(key.key_id))
                why = " ".join(dict.fromkeys(f"{form.problem.rstrip('.')}." for form in key.forms if form.problem))
                lost.append(f"{said} the data key {key.key_id} of {name}. {along} {why}".strip())
            elif without := [source for source in key.without if source not in unlike]:
                lacking.append(f"The data key {key.key_id} of {name} has no form that {' or '.join(without)} opens.")
    wrapping = [
        {"source": source, "ok": error is None, "problem": error.as_json() if error else None}
        for source, error in problems.items()
    ]
    ok = not lost and not lacking and all(one["ok"] for one in wrapping)

    def lines() -> None:
        for one in wrapping:
            problem: Any = one["problem"]
            say(
                f"{'ok  ' if problem is None else 'FAIL'}  {one['source']}"
                + (f": {problem['message']}" if problem else "")
            )
            if problem is not None and problem["hint"]:
                say(f"      {problem['hint']}")
        for sentence in lost:
            say(f"LOST  {sentence}")
        for sentence in lacking:
            say(f"WARN  {sentence}")
        if lacking:
            remark("Forms are added by: pitstop keys rotate --rewrap-only")
        say(f"{len(rows)} data keys, {sum(row['opens'] for row in rows)} of them open.")

    show({"ok": ok, "wrapping": wrapping, "lost": lost, "lacking": lacking, "keys": rows}, lines, as_json=as_json)
    return _DAMAGE if lost else 0 if ok else _FAILED

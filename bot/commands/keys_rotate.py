"""`pitstop keys rotate`: a new data key, every form that is missing, and the proof that everything still opens."""

from __future__ import annotations

import os
import pwd
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands.output import AsJson, remark, say, show

if TYPE_CHECKING:
    from bot.commands.surroundings import Surroundings
    from bot.config import RepositoryConfig
    from bot.repository.repository import Repository

_DAMAGE = 4


def rotate(
    rewrap_only: Annotated[
        bool,
        typer.Option("--rewrap-only", help="Make no new data key: only add the forms that are missing, and prove."),
    ] = False,
    drop_unused: Annotated[
        bool, typer.Option("--drop-unused", help="After the proof, delete forms that no key under [encryption] made.")
    ] = False,
    key_changed: Annotated[
        bool,
        typer.Option(
            "--key-changed",
            help="A key under [encryption] was changed on purpose: wrap with it, though it did not make the forms of its kind.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Rotate every data key, and prove that what is kept still opens.

    A new data key is stored under every key in [encryption], and old data keys get the forms they lack; what is stored is
    not touched. Then every backup's manifest and every object's header is read, and every data key opened with each key.

    May be repeated: what an interrupted one left is finished. Processes that run keep the data key they began with.
    Refused where a key does not open the forms of its kind: it may be mistyped. Exit code 4: something does not open.
    """
    from bot.commands.surroundings import surroundings
    from bot.repository.keys.strangers import require_same
    from bot.repository.open import open_repository

    here = surroundings()
    for name, config in here.config.repositories.items():
        _require_own(name, config)
    opened = [open_repository(name, one, here.config.encryption) for name, one in here.config.repositories.items()]
    for repository in opened if not key_changed else ():  # of all of them, before anything is written to the first
        require_same(repository.keys, repository.name)
    told = [
        _rotated(
            here,
            repository,
            rewrap_only=rewrap_only,
            drop_unused=drop_unused,
            key_changed=key_changed,
            quiet=as_json,
        )
        for repository in opened
    ]
    ok = all(one["proof"]["holds"] for one in told)
    show({"ok": ok, "repositories": told}, lambda: _say(told), as_json=as_json)
    if not ok:
        raise typer.Exit(_DAMAGE)


def _rotated(
    here: Surroundings,
    repository: Repository,
    *,
    rewrap_only: bool,
    drop_unused: bool,
    key_changed: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Rotate in one repository, and keep what was done in ledger and audit."""
    from bot import desk
    from bot.ledger import data_keys
    from bot.repository.keys.ring import with_times
    from bot.repository.rotation import interrupted, rotate
    from bot.slack.text import span

    name = repository.name
    with here.ledger.read() as tx:
        begun = data_keys.begun(tx, name)
    going_on = interrupted(repository.keys.ids(), (begun.key, begun.at) if begun else None, here.now())
    if begun and going_on and not rewrap_only and not quiet:
        ago = span((here.now() - begun.at).total_seconds())
        remark(
            f"{name}: a rotation that began {ago} ago did not come to its end: going on with the data key {going_on}."
        )
    done = rotate(
        repository,
        rewrap_only=rewrap_only,
        drop_unused=drop_unused,
        key_changed=key_changed,
        go_on_with=going_on,
        begin=lambda key: desk.begin_rotation(here.ledger, repository=name, key=key, at=here.now()),
        say=(lambda _: None) if quiet else remark,
    )
    document = {"repository": name, **asdict(done), "proof": done.proof.as_json()}
    desk.note_rotation(
        here.ledger,
        repository=name,
        keys=with_times(repository.keys.ids()),
        detail={key: value for key, value in document.items() if key != "repository"},
        holds=done.proof.holds,
        by=here.me,
        at=here.now(),
    )
    return document


def _require_own(name: str, repository: RepositoryConfig) -> None:
    """Refuse to write a data key that the account which backs up could not read.

    Raises:
        Usage: the repository's folder is another account's.
    """
    from bot.errors import Usage

    if repository.directory is None or not repository.directory.is_dir():
        return
    owner = repository.directory.stat().st_uid
    if owner != os.geteuid():
        try:
            login = pwd.getpwuid(owner).pw_name
        except KeyError:
            login = f"#{owner}"
        raise Usage(
            f"The folder of repository {name} belongs to {login}: a data key made by somebody else could not be read by it.",
            hint=f"sudo -u {login} pitstop keys rotate",
            code="not-the-owner",
        )


def _say(told: list[dict[str, Any]]) -> None:
    for one in told:
        proof = one["proof"]
        verb = "made" if one["made"] else "is"
        say(f"{one['repository']}: the newest data key {verb} {one['data_key']}.")
        for path in one["added"]:
            say(f"  added    {path}")
        for path, why in one["unused"].items():
            say(f"  {'dropped' if path in one['dropped'] else 'unused':<8} {path}: {why}")
        if set(one["unused"]) - set(one["dropped"]):
            remark("  Forms that are not used any more are deleted by: pitstop keys rotate --rewrap-only --drop-unused")
        what = (
            f"{proof['data_keys']} data keys opened {proof['openings']} times; {proof['backups']} manifests read; "
            f"{proof['objects']} headers read, {proof['wal']} of them WAL; {proof['opened']} objects decrypted"
        )
        away = f"; {proof['archived']} archived objects were not looked at" if proof["archived"] else ""
        say(f"  {'proved' if proof['holds'] else 'NOT proved'}: {what}{away}.")
        for problem in proof["problems"]:
            say(f"  PROBLEM  {problem}")

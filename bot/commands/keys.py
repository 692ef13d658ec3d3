"""`pitstop keys`: what each data key is wrapped with, what opens it now, and what is missing; to make and rotate is elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from bot.commands.output import AsJson, remark, say, show, table, when

if TYPE_CHECKING:
    from bot.config import Config, EncryptionConfig, RepositoryConfig
    from bot.errors import PitstopError
    from bot.repository.keys.ring import KeyRing
    from bot.repository.keys.survey import KeyState
    from bot.repository.keys.uses import Uses

    Looked = tuple[KeyRing, list[KeyState], dict[str, Uses]]

_DAMAGE, _FAILED = 4, 1


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    from bot.commands.keys_init import init
    from bot.commands.keys_rotate import rotate

    group = typer.Typer(help="Encryption keys.", rich_markup_mode=None)
    group.command("init")(init)
    group.command("list")(list_keys)
    group.command("check")(check)
    group.command("rotate")(rotate)
    app.add_typer(group, name="keys")


def list_keys(as_json: AsJson = False) -> None:
    """List the data keys, and what opens each of them now.

    A form that a key under [encryption] opens names that key; another one the id of what made it. On stderr: a key that opens
    nothing, and a repository that cannot be looked at.

    Each with when it was made, its wrapped forms, and what it seals.
    """
    from bot.commands.keys_list import idle_keys
    from bot.commands.surroundings import read_config

    config, _ = read_config()
    rows, idle = [], []
    looked, away = _look_at_each(config)
    for name, (ring, found, uses) in looked.items():
        rows += [_row(name, key, uses.get(key.key_id), newest=key is found[-1]) for key in found]
        idle += list(idle_keys(name, ring, found))

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
                told = "yes" if form["state"] == "opens" else f"no: {form['problem']}"
                cells.append((*front, form["path"].rsplit("/", 1)[1], _made_by(form), told, backups))
        table(heads, cells, empty="No repository has a data key yet; `pitstop keys init` makes one.")
        if any(", id " in cell for row in cells for cell in row):
            remark(
                "An id names a key file, as the comment in it does; a passphrase has one with each salt, so several of them."
            )
        for sentence in idle:
            remark(f"Note: {sentence}")
        for name, error in away.items():
            remark(f"Note: the keys of {name} could not be looked at: {error.message} {error.hint}".rstrip())

    show({"keys": rows, "away": _messages(away)}, lines, as_json=as_json)


def _made_by(form: Mapping[str, Any]) -> str:
    """Return what made a form, for people: the setting where that is known for certain, else what the form says of it. Pure."""
    if form["state"] in {"opens", "altered"} and form["source"]:
        return str(form["source"])
    by_id = form["kind"] in {"file", "passphrase"}
    return f"{form['kind']}{', id ' if by_id else ':'}{form['name']}" if form["kind"] else "-"


def _look_at_each(config: Config) -> tuple[dict[str, Looked], dict[str, PitstopError]]:
    """Look at the keys of each repository; return what was found, and why others could not be looked at.

    One without any key is one of those: an empty folder may be a disk that is not mounted.

    Raises:
        Usage, Unavailable, Corruption: none could be looked at.
    """
    from bot.errors import Corruption, Unavailable, Usage

    looked: dict[str, Looked] = {}
    away: dict[str, PitstopError] = {}
    for name, repository in config.repositories.items():
        try:
            found = _looked(name, repository, config.encryption)
            if not found[1]:
                found[0].current()  # says that there is none, and why that may be
            looked[name] = found
        except (Usage, Unavailable, Corruption) as error:
            away[name] = error
    if away and not looked:
        raise next(iter(away.values()))
    return looked, away


def _messages(away: Mapping[str, PitstopError]) -> dict[str, str]:
    return {name: error.message for name, error in away.items()}


def _looked(name: str, repository: RepositoryConfig, encryption: EncryptionConfig) -> Looked:
    from bot.repository.keys.survey import survey
    from bot.repository.keys.uses import uses_of
    from bot.repository.open import open_ring

    ring = open_ring(name, repository, encryption)
    return ring, survey(ring), uses_of(ring.store)


def _row(name: str, key: KeyState, uses: Uses | None, *, newest: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from bot.repository.keys.form import number_of

    return {
        "repository": name,
        "key": key.key_id,
        "made_at": key.made_at,
        "newest": newest,
        "opens": key.opens,
        "forms": sorted(
            (asdict(form) for form in key.forms), key=lambda form: number_of(form["path"].rsplit("/", 1)[1])
        ),
        "missing": list(key.without),
        "backups": len(uses.backups) if uses else 0,
        "wal": [asdict(one) for one in uses.wal] if uses else [],
    }


def check(as_json: AsJson = False) -> int:
    """Check that every key opens, and everything has a form by each.

    A data key that no key opens any more is told with the backups and WAL it takes along. Exit code 1: a key does not work,
    is not the one that made the forms of its kind, or lacks one; 4: a data key is lost; else 2, or 1: a repository is away.
    """
    from bot.commands.surroundings import read_config

    checked = _checked(read_config()[0])
    show(checked.as_json(), lambda: _say_checked(checked), as_json=as_json)
    if checked.lost:
        return _DAMAGE
    failed = next((error.exit_code for error in checked.away.values()), _FAILED)
    return 0 if checked.ok else failed


@dataclass(frozen=True)
class _Checked:
    """What was found: each configured key by its source with what is wrong with it, and a sentence for each data key that is
    lost or lacks a form; `away` says why repositories could not be looked at."""

    problems: Mapping[str, PitstopError | None]
    away: Mapping[str, PitstopError]
    lost: list[str]
    lacking: list[str]
    rows: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        """Whether everything is as it should be."""
        return not (self.lost or self.lacking or self.away or any(self.problems.values()))

    def as_json(self) -> dict[str, Any]:
        """Return it as the command answers."""
        wrapping = [
            {"source": source, "ok": error is None, "problem": error.as_json() if error else None}
            for source, error in self.problems.items()
        ]
        lists = {"lost": self.lost, "lacking": self.lacking, "away": _messages(self.away), "keys": self.rows}
        return {"ok": self.ok, "wrapping": wrapping, **lists}


def _checked(config: Config) -> _Checked:
    """Try every configured key, and open every data key with each."""
    from bot.repository.keys.configured import configured_wrappers, problem_of
    from bot.repository.keys.strangers import stranger_error, strangers

    problems = {wrapper.source: problem_of(wrapper) for wrapper in configured_wrappers(config.encryption)}
    failing = {source for source, error in problems.items() if error is not None}
    looked, away = _look_at_each(config)
    rows, lost = [], []
    lacking: list[str] = []
    for name, (ring, found, uses) in looked.items():
        unlike = strangers(ring)
        for source, paths in unlike.items():
            problems[source] = problems[source] or stranger_error(ring, source, paths, name)
        rows += [_row(name, key, uses.get(key.key_id), newest=key is found[-1]) for key in found]
        lost += [_lost(name, key, uses.get(key.key_id)) for key in found if not key.opens]
        lacking += _lacking(name, found, told={*unlike, *failing})
    return _Checked(problems, away, lost, lacking, rows)


def _lost(name: str, key: KeyState, uses: Uses | None) -> str:
    """Say of a data key that nothing opens what it takes along, and why each form does not open."""
    from bot.repository.keys.uses import takes_along

    said = "No key under [encryption] opens" if key.certain else "Nothing that could be asked just now opens"
    why = " ".join(dict.fromkeys(f"{form.problem.rstrip('.')}." for form in key.forms if form.problem))
    return f"{said} the data key {key.key_id} of {name}. {takes_along(uses)} {why}".strip()


def _lacking(name: str, found: Sequence[KeyState], *, told: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each data key that opens and has no form by some key; what is wrong with those in `told` is said."""
    for key in found:
        without = [source for source in key.without if source not in told]
        if key.opens and without:
            yield f"The data key {key.key_id} of {name} has no form that {' or '.join(without)} opens."


def _say_checked(checked: _Checked) -> None:
    for source, error in checked.problems.items():
        say(f"FAIL  {source}: {error.message}" if error else f"ok    {source}")
        if error and error.hint:
            say(f"      {error.hint}")
    _say_away(checked.away)
    for sentence in checked.lost:
        say(f"LOST  {sentence}")
    for sentence in checked.lacking:
        say(f"WARN  {sentence}")
    if checked.lacking:
        remark("Forms are added by: pitstop keys rotate --rewrap-only")
    say(f"{len(checked.rows)} data keys, {sum(row['opens'] for row in checked.rows)} of them open.")


def _say_away(away: Mapping[str, PitstopError]) -> None:
    for name, error in away.items():
        say(f"FAIL  {name} could not be looked at: {error.message}")
        if error.hint:
            say(f"      {error.hint}")

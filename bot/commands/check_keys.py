"""What `pitstop check` says of the keys: does each wrap and open, and does everything kept open with each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.commands.check import Point
    from bot.config import Config
    from bot.repository.repository import Repository

_ADD = "pitstop keys rotate --rewrap-only"


def wrapping_points(config: Config) -> Iterator[Point]:
    """Try each key under [encryption]. One of several that fails is a warning: the others open everything."""
    from bot.commands.check import Point
    from bot.repository.keys.configured import configured_wrappers, problem_of

    wrappers = configured_wrappers(config.encryption)
    failed = [(wrapper, error) for wrapper in wrappers if (error := problem_of(wrapper)) is not None]
    for wrapper, error in failed:
        level = "fail" if len(failed) == len(wrappers) else "warn"
        yield Point(f"key {wrapper.source}", level, error.reason_code, error.message, error.hint)
    for wrapper in wrappers:
        if all(wrapper is not other for other, _ in failed):
            yield Point(f"key {wrapper.source}", "ok", "key", "It wraps, and opens what it wrapped.")
    if len(wrappers) == 1:
        sentence = 'Without this one key no backup opens. A second one would open everything too: keys = ["…", "passphrase:/…"].'
        yield Point("keys", "ok", "one-key", sentence)


def data_key_points(about: str, opened: Repository) -> Iterator[Point]:
    """Say of a repository's data keys which do not open, with what they take along, and which lack a form, or have another's."""
    from bot.commands.check import Point
    from bot.repository.keys.strangers import stranger_error, strangers
    from bot.repository.keys.survey import survey
    from bot.repository.keys.uses import takes_along, uses_of

    found = survey(opened.keys)
    lost = [key for key in found if not key.opens]
    uses = uses_of(opened.store) if lost else {}
    for key in lost:
        why = " ".join(dict.fromkeys(f"{form.problem.rstrip('.')}." for form in key.forms if form.problem))
        sentence = f"The data key {key.key_id} does not open. {takes_along(uses.get(key.key_id))} {why}"
        yield Point(
            about, "fail", "data-key-lost", sentence, "Bring the key back that wrapped it: `pitstop keys check`."
        )
    unlike = strangers(opened.keys)
    for source, paths in unlike.items():
        error = stranger_error(opened.keys, source, paths, opened.name)
        yield Point(about, "fail", error.reason_code, error.message, error.hint)
    told = {*unlike, *(source for key in found for source in key.unheard)}  # what it says of those is elsewhere
    lacking = {source for key in found if key.opens for source in key.without if source not in told}
    if lacking:
        sentence = f"Some data keys have no form that {' or '.join(sorted(lacking))} opens."
        yield Point(about, "warn", "forms-missing", sentence, _ADD)
    if not lost:
        held = len(found)
        yield Point(about, "ok", "keys", f"{'The one data key opens' if held == 1 else f'All {held} data keys open'}.")

"""Configured keys that are not those which made the forms of their kind: mistyped, the wrong file, or changed on purpose."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import Unavailable, Usage
from bot.repository.keys import KeyWrapper
from bot.repository.keys.ring import Form, KeyRing

_NOUNS = {
    "file": "key file",
    "passphrase": "passphrase",
    "aws-kms": "key of AWS KMS",
    "azure-key-vault": "key of the vault",
}


def strangers(ring: KeyRing) -> dict[str, list[str]]:
    """Return the configured keys that did not make the forms of their kind, by source, with the paths of those forms.

    That is a key which has no form of a data key, while another one of its kind, not configured, has. It may be meant, but looks
    the same as a passphrase with a typo or the wrong key file, which would wrap everything from then on. Asks no service.

    Raises:
        Unavailable: the storage cannot be reached.
    """
    found: dict[str, list[str]] = {}
    lost: set[str] = set()
    known: set[str] = set()
    for key_id in ring.ids():
        forms = [form for form in ring.forms(key_id) if form.wrapped is not None]
        made = {wrapper.source: made_by(wrapper, forms) for wrapper in ring.wrappers}
        known |= {source for source, paths in made.items() if paths}
        opened = {path for paths in made.values() for path in paths or ()}
        for wrapper in ring.wrappers:
            others = [form.path for form in forms if form.path not in opened and _kind(form) == wrapper.kind]
            unsure = any(made[other.source] is None for other in ring.wrappers if other.kind == wrapper.kind)
            if others and not made[wrapper.source] and not unsure:
                found.setdefault(wrapper.source, []).extend(others)
                lost |= set(others) if not opened else set()
    # A data key that nothing opens is told as lost; a key that has forms elsewhere is no less itself for it.
    return {source: paths for source, paths in found.items() if source not in known or not lost.issuperset(paths)}


def stranger_error(ring: KeyRing, source: str, paths: Sequence[str], repository: str) -> Usage:
    """Return what is said of one: what it is not, and how to go on if it is a mistake, and if it is meant. Asks no service.

    Where no key can open the newest data key, nothing can be wrapped with another one, and that is not offered.

    Raises:
        Unavailable: the storage cannot be reached.
    """
    kind = source.partition(":")[0]
    noun = _NOUNS[kind]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    mistake = {
        "passphrase": "Mistyped? Write the one into the file that was written down when it was made.",
        "file": "The wrong file? Bring the copy of the right one back.",
    }.get(kind, "The wrong one? Put the right one under [encryption].")
    meant = (
        "Changed on purpose? `pitstop keys rotate --key-changed` wraps everything with it."
        if _may_open_newest(ring)
        else "Changed on purpose? Put one that opens the newest data key beside it: no key under [encryption] does."
    )
    return Usage(
        f"{source} is not the {noun} that made these forms in repository {repository}: {paths[0]}{more}.",
        hint=f"{mistake} {meant}",
        code="key-changed",
    )


def require_same(ring: KeyRing, repository: str) -> None:
    """Make sure that every configured key made the forms of its kind that there are, as far as can be told.

    Raises:
        Usage: `key-changed`, of the first that did not.
        Unavailable: the storage cannot be reached.
    """
    for source, paths in strangers(ring).items():
        raise stranger_error(ring, source, paths, repository)


def made_by(wrapper: KeyWrapper, forms: list[Form]) -> list[str] | None:
    """Return the paths of the forms that a key made; None where that cannot be told, since its file is missing, for instance."""
    try:
        return [form.path for form in forms if form.wrapped is not None and wrapper.recognises(form.wrapped)]
    except (Usage, Unavailable):
        return None  # it is told where the key itself is looked at


def _may_open_newest(ring: KeyRing) -> bool:
    """Say whether some configured key made a form of the newest data key, or that cannot be told."""
    forms = [form for key_id in ring.ids()[-1:] for form in ring.forms(key_id)]
    return any(made_by(wrapper, forms) != [] for wrapper in ring.wrappers)


def _kind(form: Form) -> str:
    assert form.wrapped is not None, "only intact forms are asked about"
    return form.wrapped.kind

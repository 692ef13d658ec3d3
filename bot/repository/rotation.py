"""Rotate a repository's data key: forms by every wrapping key, a new data key, the proof, and then what may go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.errors import Failed, PitstopError, Unavailable
from bot.repository.keys.configured import problem_of
from bot.repository.keys.lost import KeyLost
from bot.repository.keys.ring import KeyRing, new_key_id
from bot.repository.keys.strangers import require_same
from bot.repository.keys.survey import FormState, survey
from bot.repository.proof import Proof, prove
from bot.repository.repository import Repository

GO_ON_WITHIN = timedelta(days=1)
"""How long ago a rotation that was interrupted may have begun for the next one to go on with the data key it made."""


@dataclass
class Rotation:
    """What a rotation did in one repository.

    Attributes:
        data_key: the newest one, which new processes seal with; `made` whether this made it.
        added: objects below `keys/` that were added to old data keys.
        unused: forms that no configured key opens, or that are damaged, by path, with why; `dropped` those that went.
        proof: that everything still opens, or what does not.
    """

    data_key: str
    made: bool
    added: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    proof: Proof = field(default_factory=Proof)


def require_all(ring: KeyRing) -> None:
    """Make sure that every wrapping key wraps and opens now, before anything is written.

    Raises:
        Usage, Unavailable: of the first that does not.
    """
    for wrapper in ring.wrappers:
        if error := problem_of(wrapper):
            raise error


def rotate(
    repository: Repository,
    *,
    rewrap_only: bool,
    drop_unused: bool,
    key_changed: bool = False,
    go_on_with: str | None,
    begin: Callable[[str], None],
    say: Callable[[str], None] = lambda _: None,
) -> Rotation:
    """Rotate; data is not touched. May be repeated at any time: whatever a run that was killed left is found and finished.

    1. Every wrapping key is tried, and held to the forms of its kind, unless `key_changed` says that it need not fit. 2. Old data
    keys get the forms they lack. 3. A new data key is made under all of them, unless `rewrap_only`, or there is `go_on_with`, one
    that an interrupted rotation made; `begin` is told its id before anything of it is stored. 4. The proof. 5. With `drop_unused`
    and a proof without problems, forms that no configured key made, and damaged ones, are deleted.

    A process that runs keeps the data key it began with; those that start after 3 take the new one.

    Raises:
        Usage, Unavailable: a wrapping key or the storage does not do its part; what was written by then is whole and stays.
        Usage: `key-changed`, nothing was written.
        Failed: `drop-unused` with a proof that has problems; nothing was dropped.
    """
    ring = repository.keys
    require_all(ring)
    if not key_changed:
        require_same(ring, repository.name)
    added: list[str] = []
    lost: list[str] = []
    for key_id in ring.ids():
        try:
            added += ring.add_missing(key_id)
        except KeyLost as error:  # the others are as well off without it; the proof says what it takes along
            lost.append(error.key_id)
    make = not rewrap_only and go_on_with is None
    if make:
        begin(key_id := new_key_id(ring.ids()))
        ring.create(key_id)
    newest = ring.ids()[-1]
    proof = prove(repository, say)
    done = Rotation(newest, make, added, lost, {form.path: form.problem for form in _unused(ring)}, [], proof)
    if drop_unused:
        _drop(ring, done)
    return done


def interrupted(key_ids: list[str], begun: tuple[str, datetime] | None, now: datetime) -> str | None:
    """Return the data key that a rotation made and did not bring to its end; `begun` is what it noted before it made it. Pure.

    A data key alone never says so: the first of a repository, or one copied from another, is young and not proved as well.
    """
    if begun is None:
        return None
    key_id, at = begun
    return key_id if key_id in key_ids and timedelta() <= now - at < GO_ON_WITHIN else None


def _unused(ring: KeyRing) -> list[FormState]:
    return [form for key in survey(ring) for form in key.forms if form.state in {"unused", "altered"}]


def _drop(ring: KeyRing, done: Rotation) -> None:
    if not done.proof.holds:
        raise Failed(
            f"Nothing was dropped: the proof has {len(done.proof.problems)} problems, the first: {done.proof.problems[0]}",
            hint="Put them right (`pitstop keys list` shows the data keys), then rotate again.",
            code="not-proved",
        )
    for path in done.unused:
        key_id = path.split("/")[1]
        try:
            ring.delete_form(path)
        except Unavailable as error:
            raise Unavailable(
                f"{path} could not be dropped: {error.message}", hint=error.hint, code=error.reason_code
            ) from None
        done.dropped.append(path)
        _still_opens(ring, key_id)


def _still_opens(ring: KeyRing, key_id: str) -> None:
    try:
        ring.prove(key_id)
    except PitstopError as error:
        raise Failed(f"The data key {key_id} does not open any more: {error.message}", code="not-proved") from None

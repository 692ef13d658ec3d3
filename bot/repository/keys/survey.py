"""How the data keys of a repository stand: each form, what opens it now, and what is missing. A result, never an exception."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bot.errors import PitstopError, Unavailable, Usage
from bot.repository.keys import KeyWrapper
from bot.repository.keys.ring import Form, KeyRing, made_at


@dataclass(frozen=True, slots=True)
class FormState:
    """One wrapped form. `source` is the configured key that recognises it, empty for none; `problem` why it does not open.

    `state` is `opens`, `away` (its service could not be asked), `refused` (its file or service says no), `unused`
    (no key under [encryption] made it), or `altered`: it is damaged.
    """

    path: str
    kind: str
    name: str
    state: str
    source: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class KeyState:
    """One data key.

    Attributes:
        without: the configured keys by which no form opens it.
        unheard: those of them that could not be read or asked, so that a form that is there may still be theirs.
        certain: none of them is a service that is away.
    """

    key_id: str
    made_at: datetime | None
    forms: tuple[FormState, ...]
    without: tuple[str, ...]
    unheard: tuple[str, ...]
    certain: bool

    @property
    def opens(self) -> bool:
        """Whether it opens now, with whichever form."""
        return any(form.state == "opens" for form in self.forms)


def survey(ring: KeyRing) -> list[KeyState]:
    """Try every form of every data key with every configured key, oldest data key first. Asks services once for each form.

    Raises:
        Unavailable: the storage cannot be reached.
    """
    refused: dict[str, PitstopError] = {}
    return [_key(ring, key_id, refused) for key_id in ring.ids()]


def _key(ring: KeyRing, key_id: str, refused: dict[str, PitstopError]) -> KeyState:
    forms = tuple(_form(ring, form, refused) for form in ring.forms(key_id))
    opened = {form.source for form in forms if form.state == "opens"}
    without = tuple(wrapper.source for wrapper in ring.wrappers if wrapper.source not in opened)
    unheard = tuple(source for source in without if source in refused)
    certain = not any(isinstance(refused[source], Unavailable) for source in unheard)
    return KeyState(key_id, made_at(key_id), forms, without, unheard, certain)


def _form(ring: KeyRing, form: Form, refused: dict[str, PitstopError]) -> FormState:
    if form.wrapped is None:
        assert form.damage is not None, "what is not intact says why"
        return FormState(form.path, "", "", "altered", problem=form.damage.message)
    kind, name = form.wrapped.kind, str(form.wrapped.more.get("name") or form.wrapped.by)
    failed: FormState | None = None
    for wrapper in ring.wrappers:
        if wrapper.kind != kind:
            continue
        state = _tried(wrapper, form, refused)
        if state == "opens":
            return FormState(form.path, kind, name, state, wrapper.source)
        if state == "altered":
            problem = "it does not open with the key that made it"
            failed = FormState(form.path, kind, name, state, wrapper.source, problem)
        elif state and failed is None:
            failed = FormState(form.path, kind, name, state, wrapper.source, refused[wrapper.source].message)
    return failed or FormState(form.path, kind, name, "unused", problem="no key under [encryption] made it")


def _tried(wrapper: KeyWrapper, form: Form, refused: dict[str, PitstopError]) -> str:
    """Return how a form stands with one wrapper, or nothing where it is another key's; a refusal is remembered."""
    assert form.wrapped is not None, "only intact forms are tried"
    try:
        if wrapper.source not in refused:
            if not wrapper.recognises(form.wrapped):
                return ""
            return "opens" if wrapper.unwrap(form.wrapped) is not None else "altered"
    except (Usage, Unavailable) as error:
        refused[wrapper.source] = error
    return "away" if isinstance(refused[wrapper.source], Unavailable) else "refused"

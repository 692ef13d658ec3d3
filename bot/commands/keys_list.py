"""What `pitstop keys list` says of the configured keys that open nothing in a repository; its forms are listed all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.repository.keys.ring import KeyRing
    from bot.repository.keys.survey import KeyState


def idle_keys(name: str, ring: KeyRing, found: Sequence[KeyState]) -> Iterator[str]:
    """Yield a sentence for each configured key that opens no data key of the repository `name`: which, and why. Asks no service.

    Raises:
        Unavailable: the storage cannot be reached.
    """
    from bot.repository.keys.strangers import stranger_error, strangers

    idle = [wrapper.source for wrapper in ring.wrappers if all(wrapper.source in key.without for key in found)]
    unlike = strangers(ring) if idle else {}
    for source in idle:
        if source in unlike:
            error = stranger_error(ring, source, unlike[source], name)
            yield f"{error.message} {error.hint}"
        else:
            yield f"{source} opens nothing in {name}: {_why(source, found)}"


def _why(source: str, found: Sequence[KeyState]) -> str:
    for form in (form for key in found for form in key.forms):
        if form.source == source and form.problem:
            return form.problem
    if any(source in key.unheard for key in found):
        return "it could not be read or asked; `pitstop keys check` says why."
    return "it made none of the forms there."

"""A data key that does not open: lost for now or for good, with what it takes along; or not to be asked just now."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import PitstopError, Unavailable, Usage
from bot.repository.keys.uses import Uses, takes_along


class KeyLost(Usage):
    """No key under [encryption] opens a data key, and each of them said so: revoked, missing, or another one.

    Attributes:
        key_id: the data key.
        more: `backups`, the ids of what cannot be read without it.
    """

    code = "wrong-key"

    def __init__(
        self,
        key_id: str,
        url: str,
        *,
        tried: Sequence[str],
        wrapped_by: Sequence[str],
        refused: Sequence[PitstopError],
        uses: Uses | None,
    ) -> None:
        along = takes_along(uses)
        if len(tried) == 1 and refused:
            message = f"{refused[0].message} Without it the data key {key_id} of {url} does not open. {along}"
        else:
            what = f"{tried[0]} does not open" if len(tried) == 1 else f"None of {', '.join(tried)} opens"
            why = "".join(f" {error.message}" for error in refused)
            by = " and ".join(wrapped_by) or "nothing that is intact"
            message = f"{what} the data key {key_id} of {url}, which is wrapped by {by}.{why} {along}"
        hint = refused[0].hint if refused else _OTHER
        super().__init__(message, hint=hint, code=refused[0].reason_code if refused else None)
        self.key_id = key_id
        self.more = {"data_key": key_id, "backups": sorted(backup for _, backup in uses.backups) if uses else []}


class KeyAway(Unavailable):
    """A key service that may open a data key could not be asked; nothing is known of the key, and nothing is lost."""

    code = "key-away"

    def __init__(self, key_id: str, url: str, away: Unavailable) -> None:
        message = f"The data key {key_id} of {url} cannot be opened just now: {away.message}"
        super().__init__(message, hint=away.hint, code=away.reason_code)
        self.key_id = key_id


_OTHER = "Is it the key of another installation? The first line of the right key file names its id."

"""A data key that does not open: lost for now or for good, with what it takes along; or not to be asked just now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from bot.errors import PitstopError, Unavailable, Usage
from bot.repository.keys.uses import Uses, takes_along


class KeyUnopened(Usage):
    """A data key does not open, so that what it seals cannot be read; see the classes below.

    Attributes:
        key_id: the data key.
        short: the same in one clause, without what it takes along.
        seals: whether any backup or WAL that is kept is sealed with it.
    """

    key_id: str
    short: str
    seals: bool


class KeyGone(KeyUnopened):
    """The repository has no such data key (any more): what it sealed is lost for good, unless a copy of its folder is found.

    Attributes:
        of_the_key: the message without the object that named the key.
    """

    code = "unknown-data-key"

    def __init__(self, key_id: str, url: str, uses: Uses | None, path: str = "") -> None:
        """`path`: the object that names it."""
        self.seals = uses is not None and bool(uses.backups or uses.wal)
        of = f"The object {path} is sealed with the data key {key_id}, which" if path else f"The data key {key_id}"
        missing = f"is not in the repository {url}: keys/{key_id} is missing."
        missing += f" {takes_along(uses)}" if self.seals else ""
        self.of_the_key = f"The data key {key_id} {missing}"
        super().__init__(
            f"{of} {missing}",
            hint="Was it deleted? Bring the folder back from a copy of the repository. Or is the object another repository's?",
        )
        self.key_id = key_id
        self.short = f"its data key {key_id} is not in the repository"
        self.more = _told(key_id, uses)


class KeyLost(KeyUnopened):
    """No key under [encryption] opens a data key, and each of them said so: revoked, missing, or another one.
    It may come back with the key, so it is never taken for damage.
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
        every: Mapping[str, Uses] | None = None,
    ) -> None:
        """`every`: what each data key seals, where nothing that is configured can be read, so that none of them opens."""
        along = takes_along(uses)
        if every and set(every) - {key_id}:
            count = sum(len(one.backups) for one in every.values())
            along += f" No other data key there opens either: {count} backup{'s' * (count != 1)} in all cannot be read."
        if len(tried) == 1 and refused:
            message = f"{refused[0].message} Without it the data key {key_id} of {url} does not open. {along}"
        else:
            what = f"{tried[0]} does not open" if len(tried) == 1 else f"None of {', '.join(tried)} opens"
            why = "".join(f" {error.message}" for error in refused)
            by = " and ".join(wrapped_by) or "nothing that is intact"
            message = f"{what} the data key {key_id} of {url}, which is wrapped by {by}.{why} {along}"
        hint = refused[0].hint if refused else _hint({one.partition(":")[0] for one in tried})
        super().__init__(message, hint=hint, code=refused[0].reason_code if refused else None)
        self.key_id = key_id
        why = refused[0].message if refused else f"{' and '.join(tried)} did not wrap it"
        self.short = f"its data key {key_id} does not open now: {why}"
        self.more = _told(key_id, uses)
        self.seals = uses is not None and bool(uses.backups or uses.wal)


class KeyAway(Unavailable):
    """A key service that may open a data key could not be asked; nothing is known of the key, and nothing is lost."""

    code = "key-away"

    def __init__(self, key_id: str, url: str, away: Unavailable) -> None:
        message = f"The data key {key_id} of {url} cannot be opened just now: {away.message}"
        super().__init__(message, hint=away.hint, code=away.reason_code)
        self.key_id = key_id


def _told(key_id: str, uses: Uses | None) -> dict[str, Any]:
    return {"data_key": key_id, "backups": sorted(backup for _, backup in uses.backups) if uses else []}


def _hint(kinds: Set[str]) -> str:
    """Ask what may be wrong with configured keys of these kinds that all work, and made no form. Pure."""
    questions = {
        "passphrase": "Is the passphrase mistyped? Write the one into its file that was written down when it was made.",
        "file": "Is it the key file of another installation? The first line of the right key file names its id.",
    }
    asked = [question for kind, question in questions.items() if kind in kinds]
    if kinds - set(questions):
        asked.append("Is it the right key of the service, and not another ARN or URL?")
    return " ".join(asked)

"""The data keys of one repository: stored wrapped, opened with keys from elsewhere, the newest used for writing."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.errors import Conflict, Corruption, PitstopError, Unavailable, Usage
from bot.repository.damage import ObjectDamaged
from bot.repository.envelope import KEY_BYTES, KEY_ID_BYTES
from bot.repository.keys import KeyWrapper
from bot.repository.keys.form import WrappedKey, decode, encode, number_of
from bot.repository.keys.lost import KeyAway, KeyGone, KeyLost
from bot.repository.keys.uses import Uses, uses_of
from bot.repository.layout import KEYS, key_folder
from bot.repository.stores import Store

_LOST_FOR_S = 60.0


@dataclass(frozen=True, slots=True)
class Form:
    """One object of a data key: what is in it, or the sentence that says how it is damaged."""

    path: str
    wrapped: WrappedKey | None
    damage: ObjectDamaged | None = None


class KeyRing:
    """The data keys of one repository. Thread-safe; keys made elsewhere meanwhile are found when they are needed.

    Any form that opens is the key: files and passphrases are tried before services, the newest form first, and a wrapper that
    is away or a form that is damaged hinders nobody while another one opens. Opened keys are kept in memory alone.

    Attributes:
        store: where the repository is.
        wrappers: the keys under [encryption].
        listed: the ids that were there when they were last listed.
    """

    def __init__(self, store: Store, wrappers: KeyWrapper | Sequence[KeyWrapper]) -> None:
        self.store = store
        self.wrappers: tuple[KeyWrapper, ...] = tuple(wrappers) if isinstance(wrappers, Sequence) else (wrappers,)
        self.listed: list[str] = []
        self._lock = threading.Lock()
        self._keys: dict[str, bytes] = {}
        self._current: str | None = None
        self._lost: dict[str, tuple[float, KeyLost]] = {}
        self._uses: dict[str, Uses] | None = None

    def current(self) -> tuple[str, bytes]:
        """Return id and key that new objects are sealed with: the newest when this was first asked.

        Raises:
            Usage: `no-data-key`, or those of `key`.
        """
        with self._lock:
            if self._current is None:
                ids = self.ids()
                if not ids:
                    raise Usage(
                        f"The repository {self.store.url} has no data key yet.",
                        hint="Is it new? Run `pitstop keys init`. Was it used before: is its disk mounted, its url right?",
                        code="no-data-key",
                    )
                if ids[-1] not in self._keys:
                    self._keys[ids[-1]] = self._opened(ids[-1])
                self._current = ids[-1]
            return self._current, self._keys[self._current]

    def key(self, key_id: str, path: str = "") -> bytes:
        """Return a data key; `path` is the object that names it, for errors.

        Raises:
            Usage: KeyGone, the repository has no such key; KeyLost, no configured key opens it, and why.
            Unavailable: KeyAway, one that might open it could not be asked.
            ObjectDamaged: its wrapped form is damaged.
        """
        with self._lock:
            if key_id not in self._keys:
                self._keys[key_id] = self._opened(key_id, path)
            return self._keys[key_id]

    def ids(self) -> list[str]:
        """Return the ids of all data keys, oldest first."""
        self.listed = self.store.children(KEYS)
        return self.listed

    def create(self, key_id: str | None = None) -> str:
        """Store a data key (with this new id, or a fresh one), wrapped by every wrapper, prove each form, and return its id.

        Safe beside another process doing the same: both keys are then in the repository, and either is found by all.

        Raises:
            Usage, Unavailable: of a wrapper; nothing was written.
            ObjectDamaged: a form does not read back as it was written.
        """
        key_id, data_key = key_id or new_key_id(self.ids()), secrets.token_bytes(KEY_BYTES)
        forms = [wrapper.wrap(key_id, data_key) for wrapper in self.wrappers]
        for number, form in enumerate(forms, start=1):
            self._put(form, number)
        for wrapper in self.wrappers:
            if self.open_with(wrapper, key_id) != data_key:
                raise ObjectDamaged(key_folder(key_id), f"what {wrapper.source} wrapped does not read back")
        return key_id

    def add_missing(self, key_id: str) -> list[str]:
        """Store a form by each wrapper that has none which opens the key, prove it, and return the objects added. Idempotent.

        Raises:
            Usage, Unavailable, ObjectDamaged: as `key`, or of a wrapper.
        """
        data_key, added = self.key(key_id), []
        for wrapper in self.wrappers:
            if self.open_with(wrapper, key_id) is None:
                form = wrapper.wrap(key_id, data_key)
                numbers = [number_of(name) for name in self.store.children(key_folder(key_id))]
                added.append(self._put(form, max(numbers, default=0) + 1))
                if self.open_with(wrapper, key_id) != data_key:
                    raise ObjectDamaged(added[-1], f"what {wrapper.source} wrapped does not read back")
        return added

    def lost(self) -> list[KeyLost]:
        """Return what is said of each data key that does not open, though something is sealed with it; opens all others.

        Raises:
            Unavailable: the storage, or a key service that is needed, cannot be reached.
            ObjectDamaged: no form of one is intact.
        """
        found = []
        for key_id in self.ids():
            try:
                self.key(key_id)
            except KeyLost as error:
                if error.seals:
                    found.append(error)
        return found

    def gone(self) -> list[KeyGone]:
        """Return what is said of each data key that backups or WAL are sealed with and that is not here (any more).

        Slow for large repositories: reads a header for each backup.

        Raises:
            Unavailable: the storage cannot be reached.
        """
        here, used = set(self.ids()), uses_of(self.store)
        return [KeyGone(key_id, self.store.url, uses) for key_id, uses in sorted(used.items()) if key_id not in here]

    def prove(self, key_id: str) -> None:
        """Open a data key from the store again, as a newcomer would, and hold each form that a file or passphrase made to it.

        Raises:
            Usage, Unavailable, ObjectDamaged: as `key`.
        """
        with self._lock:
            data_key = self._keys[key_id] = self._opened(key_id)
        for form in self.forms(key_id):
            for wrapper in self.wrappers:
                if form.wrapped is not None and not wrapper.remote and _recognised(wrapper, form.wrapped):
                    found = wrapper.unwrap(form.wrapped)
                    if found != data_key:
                        raise _altered(form)

    def forms(self, key_id: str) -> list[Form]:
        """Read every form of a data key, newest first; empty where there is no such key."""
        found = []
        for name in sorted(self.store.children(key_folder(key_id)), key=number_of, reverse=True):
            path = f"{key_folder(key_id)}/{name}"
            try:
                found.append(Form(path, decode(self.store.read(path), path)))
            except ObjectDamaged as error:
                found.append(Form(path, None, error))
        return found

    def open_with(self, wrapper: KeyWrapper, key_id: str) -> bytes | None:
        """Return a data key as this one wrapper opens it, or None when it has no form that does.

        Raises:
            Usage, Unavailable: of the wrapper.
        """
        for form in self.forms(key_id):
            if form.wrapped is not None and wrapper.recognises(form.wrapped):
                found = wrapper.unwrap(form.wrapped)
                if found is not None and len(found) == KEY_BYTES:
                    return found
        return None

    def delete_form(self, path: str) -> None:
        """Remove one form; what it takes to be sure that another one opens is the caller's."""
        self.store.delete(path)

    def _put(self, form: WrappedKey, number: int) -> str:
        """Write a form under the next number that is free."""
        for more in range(100):
            path = f"{key_folder(form.key)}/{number + more}"
            try:
                self.store.put(path, [encode(form)])
            except Conflict:
                continue  # somebody else added one meanwhile
            return path
        raise Corruption(f"The data key {form.key} has no room for another form.", code="key-id-collision")

    def _opened(self, key_id: str, path: str = "") -> bytes:
        """Open a key with any of its forms. One that was lost a moment ago is not tried again for each object."""
        at, lost = self._lost.get(key_id, (float("-inf"), None))
        if lost is not None and time.monotonic() - at < _LOST_FOR_S:
            raise lost
        forms = self.forms(key_id)
        if not forms:
            raise KeyGone(key_id, self.store.url, self._used_by(key_id), path)
        damage = [form.damage for form in forms if form.damage is not None]
        refused: dict[str, PitstopError] = {}
        for wrapper, form in _tries(self.wrappers, forms):
            assert form.wrapped is not None, "only intact forms are tried"
            if wrapper.source in refused:
                continue
            try:
                if not wrapper.recognises(form.wrapped):
                    continue
                found = wrapper.unwrap(form.wrapped)
            except (Usage, Unavailable) as error:
                refused[wrapper.source] = error
                continue
            if found is not None and len(found) == KEY_BYTES:
                return found
            damage.append(_altered(form))
        failure = self._unopened(key_id, forms, refused, damage)
        if isinstance(failure, KeyLost):
            self._lost[key_id] = (time.monotonic(), failure)
        raise failure

    def _unopened(
        self, key_id: str, forms: list[Form], refused: dict[str, PitstopError], damage: list[ObjectDamaged]
    ) -> PitstopError:
        """Return what is said when nothing opens a key; being away goes first, since it says nothing of the key."""
        away = next((error for error in refused.values() if isinstance(error, Unavailable)), None)
        if away is not None:
            return KeyAway(key_id, self.store.url, away)
        if damage and not refused:
            return damage[0]
        unread = all(not wrapper.remote and wrapper.source in refused for wrapper in self.wrappers)
        return KeyLost(
            key_id,
            self.store.url,
            tried=[wrapper.describe() for wrapper in self.wrappers],
            wrapped_by=forms_by(forms),
            refused=list(refused.values()),
            uses=self._used_by(key_id),
            every=self._uses if unread else None,
        )

    def _used_by(self, key_id: str) -> Uses | None:
        """Return what a data key seals; looked at once, since this is asked for many objects in a row."""
        if self._uses is None:
            self._uses = uses_of(self.store)
        return self._uses.get(key_id)


def forms_by(forms: Iterable[Form]) -> list[str]:
    """Return who wrapped the intact forms, for people: kind, and the name or id of the wrapping key."""
    wrapped = [form.wrapped for form in forms if form.wrapped is not None]
    return sorted({f"{one.kind} {one.more.get('name') or one.by}" for one in wrapped})


def new_key_id(known: Sequence[str] = ()) -> str:
    """Return a fresh id: it begins with the time in milliseconds, so that the newest key sorts last.

    It sorts behind all `known` ones, also where this machine's clock is behind that of who made them.
    """
    newest = max((int(key_id[:12], 16) for key_id in known if made_at(key_id) is not None), default=-1)
    milliseconds = max(int(time.time() * 1000), newest + 1)
    return (milliseconds.to_bytes(6, "big") + secrets.token_bytes(KEY_ID_BYTES - 6)).hex()


def with_times(key_ids: Iterable[str]) -> list[tuple[str, datetime]]:
    """Return data keys with when they were made; what is not an id of ours is left out. Pure."""
    return [(key_id, at) for key_id in key_ids if (at := made_at(key_id)) is not None]


def made_at(key_id: str) -> datetime | None:
    """Return when a data key was made, aware UTC; None when the id is not one of ours. Pure."""
    try:
        return datetime.fromtimestamp(int(key_id[:12], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _tries(wrappers: Sequence[KeyWrapper], forms: list[Form]) -> Iterable[tuple[KeyWrapper, Form]]:
    """Yield what may open, in order: files and passphrases before services, within each the newest form first."""
    for remote in (False, True):
        for form in forms:
            for wrapper in wrappers:
                if form.wrapped is not None and wrapper.remote is remote and wrapper.kind == form.wrapped.kind:
                    yield wrapper, form


def _recognised(wrapper: KeyWrapper, form: WrappedKey) -> bool:
    try:
        return wrapper.recognises(form)
    except (Usage, Unavailable):
        return False  # it is told where the wrappers are looked at; another one opened the key


def _altered(form: Form) -> ObjectDamaged:
    return ObjectDamaged(form.path, "the wrapped data key in it cannot be opened with the key that wrapped it")

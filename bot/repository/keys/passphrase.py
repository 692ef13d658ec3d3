"""The passphrase: one line that a person can write down; scrypt makes the key of it that wraps the data keys."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bot.errors import Usage
from bot.repository.keys.form import WrappedKey, bound_to
from bot.repository.keys.private import create_private, read_private
from bot.repository.keys.sealing import open_key, seal_key

LEAST_CHARACTERS = 12
_WHAT = "passphrase file"
_SALT_BYTES = 16
_MADE_BYTES = 25
_GROUP = 5
_MOST_MEMORY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Costs:
    """What scrypt (RFC 7914) costs: 128 × `n` × `r` bytes of memory, and time `p` times that."""

    n: int = 2**15
    r: int = 8
    p: int = 3

    @property
    def bearable(self) -> bool:
        """Whether a form of such costs is opened: within 64 MiB, so that a job stays well below its bound of memory."""
        power_of_two = self.n >= 2 and self.n & (self.n - 1) == 0
        return power_of_two and self.r >= 1 and 1 <= self.p <= 16 and 128 * self.n * self.r <= _MOST_MEMORY


class Passphrase:
    """Wraps data keys with AES-256-GCM under a key that scrypt makes of the passphrase in a file.

    The file is read when it is first needed. Keys that scrypt made are kept in memory, never on disk.
    """

    kind = "passphrase"
    remote = False

    def __init__(self, path: Path, costs: Costs = Costs()) -> None:
        self.path = path
        self._costs = costs
        self._made: dict[tuple[bytes, Costs], bytes] = {}
        self._lock = threading.Lock()

    @property
    def source(self) -> str:
        """Return the setting."""
        return f"passphrase:{self.path}"

    @cached_property
    def secret(self) -> bytes:
        """The passphrase, in UTF-8 as it stands in the file.

        Raises:
            Usage: see `parse_passphrase`; or the file is missing, unreadable or open to others.
        """
        return parse_passphrase(read_private(self.path, _WHAT), self.path)

    @cached_property
    def _salt(self) -> bytes:
        # One for all forms this process makes: the same passphrase would be stretched anew for each.
        return secrets.token_bytes(_SALT_BYTES)

    def describe(self) -> str:
        """Return the setting."""
        return self.source

    def recognises(self, form: WrappedKey) -> bool:
        """Say whether a form was wrapped with this passphrase; takes some tenths of a second for each salt."""
        if form.kind != self.kind:
            return False
        found = _scrypt_of(form)
        return found is not None and passphrase_id(self._stretch(*found)) == form.by

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        """Return the data key's form under the passphrase, with salt and costs."""
        key = self._stretch(self._salt, self._costs)
        by = passphrase_id(key)
        sealed = seal_key(key, data_key, bound_to(key_id, self.kind, by))
        return WrappedKey(key_id, self.kind, by, sealed, {"scrypt": {**asdict(self._costs), "salt": self._salt.hex()}})

    def unwrap(self, form: WrappedKey) -> bytes | None:
        """Return the data key, or None when the form was altered."""
        found = _scrypt_of(form)
        return open_key(self._stretch(*found), form.wrapped, form.bound) if found else None

    def _stretch(self, salt: bytes, costs: Costs) -> bytes:
        secret = self.secret
        with self._lock:  # one at a time: each takes its memory
            if (salt, costs) not in self._made:
                self._made[salt, costs] = stretch(secret, salt, costs)
            return self._made[salt, costs]


def stretch(secret: bytes, salt: bytes, costs: Costs) -> bytes:
    """Return the 32 bytes scrypt makes of a passphrase."""
    return hashlib.scrypt(secret, salt=salt, n=costs.n, r=costs.r, p=costs.p, maxmem=2 * _MOST_MEMORY, dklen=32)


def passphrase_id(key: bytes) -> str:
    """Return what names a passphrase together with a salt; who would guess it has to pay scrypt's price for each guess."""
    return hashlib.sha256(b"pitstop passphrase v1\0" + key).hexdigest()[:16]


def create_passphrase_file(path: Path) -> None:
    """Make a passphrase of 200 random bits in groups that can be written down, in a file (0600, durable).

    Raises:
        Conflict: `key-exists`; a passphrase file is never overwritten.
        Usage: its folder is missing or not writable.
    """
    text = base64.b32encode(secrets.token_bytes(_MADE_BYTES)).decode().lower()
    groups = [text[at : at + _GROUP] for at in range(0, len(text), _GROUP)]
    create_private(path, "-".join(groups) + "\n", _WHAT)


def parse_passphrase(data: bytes, path: Path) -> bytes:
    """Return the passphrase of a file's content: exactly one line, whose end (LF or CR LF) is not a part of it.

    It is taken as it stands, byte for byte, without any other change.

    Raises:
        Usage: `passphrase-malformed`: more than one line, blanks around it, too short, control characters, not UTF-8.
    """
    line = data.removesuffix(b"\n")
    if line != data:
        line = line.removesuffix(b"\r")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed(path, "is not UTF-8 text", "Write it anew as one line of text.") from None
    if "\n" in text or "\r" in text:
        raise _malformed(path, "has more than one line", "Leave only the passphrase's line; its line end may stay.")
    if text != text.strip():
        hint = "Take them away: whoever types it from paper would not see them."
        raise _malformed(path, "has blanks before or after the passphrase", hint)
    if not text.isprintable():
        raise _malformed(path, "has control characters in it", "Write one line of plain characters.")
    if len(text) < LEAST_CHARACTERS:
        hint = "Several random words make a good one; `pitstop keys init` makes one where the file is missing."
        raise _malformed(path, f"has a passphrase of fewer than {LEAST_CHARACTERS} characters", hint)
    return line


def _malformed(path: Path, what: str, hint: str) -> Usage:
    setting = f"The passphrase file {path} (passphrase:{path} in [encryption])"
    return Usage(f"{setting} {what}.", hint=hint, code="passphrase-malformed")


def _scrypt_of(form: WrappedKey) -> tuple[bytes, Costs] | None:
    """Return salt and costs of a form, or None when they are not such as we would have written, or bear."""
    told: Any = form.more.get("scrypt")
    try:
        costs = Costs(**{name: int(told[name]) for name in ("n", "r", "p")})
        salt = bytes.fromhex(told["salt"])
    except (TypeError, KeyError, ValueError):
        return None
    return (salt, costs) if costs.bearable and len(salt) == _SALT_BYTES else None

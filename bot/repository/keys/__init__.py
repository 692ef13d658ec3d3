"""What wraps the data keys: a key file today, other key services beside it."""

from __future__ import annotations

from typing import Protocol


class KeyWrapper(Protocol):
    """Encrypts data keys under a key that is kept elsewhere; `bound` is authenticated with them.

    Attributes:
        kind: `file`; other key services add theirs.
        id: names the wrapping key and reveals nothing of it; 16 hex digits.
        source: where the wrapping key is kept, for people.
    """

    @property
    def kind(self) -> str: ...

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...

    def wrap(self, data_key: bytes, bound: bytes) -> bytes:
        """Return the wrapped data key."""
        ...

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes | None:
        """Return the data key, or None when `wrapped` or `bound` is not what was wrapped."""
        ...

"""What wraps the data keys: a key file, a passphrase, AWS KMS, Azure Key Vault; each in a file of its own."""

from __future__ import annotations

from typing import Protocol

from bot.repository.keys.form import WrappedKey


class KeyWrapper(Protocol):
    """Encrypts data keys under a key that is kept elsewhere. Thread-safe.

    Nothing is read and nobody is asked before the first call: a wrapper that is away hinders only those who need it. Every
    call but `recognises` of a key service raises, naming the setting:

        Unavailable: a service could not be asked just now; nothing is known of its key.
        Usage: the file is missing or not as it must be; or the service says no (disabled, deleted, denied, another region).

    Attributes:
        kind: `file`, `passphrase`, `aws-kms` or `azure-key-vault`.
        source: where the wrapping key is, as it is written in the configuration.
        remote: it asks a service over the network, which is slow and may be away.
    """

    @property
    def kind(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def remote(self) -> bool: ...

    def describe(self) -> str:
        """Return the setting, with what else names the key where that is known; for people. Never raises."""
        ...

    def recognises(self, form: WrappedKey) -> bool:
        """Say whether a form was wrapped with this very key, as far as can be told without asking a service."""
        ...

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        """Return the data key's form under this key."""
        ...

    def unwrap(self, form: WrappedKey) -> bytes | None:
        """Return the data key of a form that is recognised, or None when it is not what was wrapped: it was altered."""
        ...

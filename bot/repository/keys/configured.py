"""The wrapping keys of the configuration, each opened when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from bot.config import EncryptionConfig
from bot.errors import PitstopError, Usage
from bot.repository.keys import KeyWrapper
from bot.repository.keys.file import KeyFile
from bot.repository.keys.form import WrappedKey
from bot.repository.keys.passphrase import Passphrase


class Deferred:
    """A key service whose SDK is loaded when it is first asked: most starts need none, and loading takes longer than they do."""

    remote = True

    def __init__(self, kind: str, source: str, make: Callable[[], KeyWrapper]) -> None:
        self._kind, self._source, self._make = kind, source, make

    @property
    def kind(self) -> str:
        """Return the kind of service."""
        return self._kind

    @property
    def source(self) -> str:
        """Return the setting."""
        return self._source

    def describe(self) -> str:
        """Return the setting."""
        return self._source

    def recognises(self, form: WrappedKey) -> bool:
        """Say whether a form was wrapped with this key."""
        return form.kind == self._kind and self._inner.recognises(form)

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        """Return the data key's form under this key."""
        return self._inner.wrap(key_id, data_key)

    def unwrap(self, form: WrappedKey) -> bytes | None:
        """Return the data key, or None when the form was altered."""
        return self._inner.unwrap(form)

    @cached_property
    def _inner(self) -> KeyWrapper:
        try:
            return self._make()
        except ModuleNotFoundError as error:
            raise Usage(
                f"{self._source} in [encryption] needs the Python module {error.name}, which is not installed.",
                hint="Install Pitstop with its extra: pip install 'pitstop[azure]'.",
                code="extra-missing",
            ) from None


def configured_wrappers(encryption: EncryptionConfig) -> tuple[KeyWrapper, ...]:
    """Return the wrapping keys in the configuration's order. Reads nothing, asks nobody."""
    return tuple(_wrapper(one.kind, one.place) for one in encryption.wrapping)


def _wrapper(kind: str, place: str) -> KeyWrapper:
    match kind:
        case "file":
            return KeyFile(Path(place))
        case "passphrase":
            return Passphrase(Path(place))
        case "aws-kms":
            return Deferred(kind, f"{kind}:{place}", lambda: _kms(place))
        case _:
            return Deferred(kind, f"{kind}:{place}", lambda: _vault(place))


def _kms(arn: str) -> KeyWrapper:
    from bot.repository.keys.aws_kms import AwsKms

    return AwsKms(arn)


def _vault(url: str) -> KeyWrapper:
    from bot.repository.keys.azure_key_vault import AzureKeyVault

    return AzureKeyVault(url)


def problem_of(wrapper: KeyWrapper) -> PitstopError | None:
    """Return why a wrapping key cannot wrap and open now, or None when it does both. Asks a service twice; writes nothing."""
    probe, secret = "0" * 32, bytes(32)
    try:
        form = wrapper.wrap(probe, secret)
        if wrapper.recognises(form) and wrapper.unwrap(form) == secret:
            return None
    except PitstopError as error:
        return error
    return Usage(f"{wrapper.source} in [encryption] does not open what it wraps.", code="key-does-not-open")

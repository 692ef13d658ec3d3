"""Azure Key Vault: an RSA key that never leaves the vault wraps a fresh key, and that one the data key.

The only file that knows the SDK's words for keys. Needs the extra `azure`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from azure.core import exceptions as sdk
from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

from bot.errors import Usage
from bot.repository.keys.form import WrappedKey, bound_to
from bot.repository.keys.sealing import SEALED_BYTES, open_key, seal_key
from bot.repository.keys.services import PATIENCE
from bot.repository.stores.patience import Again, Patience

_RIGHTS = {"wrap": "keys/get and keys/wrapKey", "unwrap": "keys/unwrapKey"}


class AzureKeyVault:
    """Wraps data keys with an RSA key in a vault, named by its URL without a version.

    The key's newest version wraps, and each form names the version that did, so that rotating the key in the vault leaves old
    forms openable. Credentials are where Azure's tools look.
    """

    kind = "azure-key-vault"
    remote = True

    def __init__(self, url: str, patience: Patience = PATIENCE, credential: Any = None, **options: Any) -> None:
        """`credential` and `options` of the SDK's clients are for vaults of tests."""
        self.url = url
        self._vault, _, self._key = url.partition("/keys/")
        self._patience = patience
        self._given = credential
        # Each request is made once; trying again is our own business.
        self._options: dict[str, Any] = {
            "retry_total": 0, "connection_timeout": 5, "read_timeout": 10, **options
        }  # fmt: skip

    @property
    def source(self) -> str:
        """Return the setting."""
        return f"azure-key-vault:{self.url}"

    @property
    def id(self) -> str:
        """Return 16 hex digits that name the key."""
        return hashlib.sha256(b"pitstop azure key vault v1\0" + self.url.encode()).hexdigest()[:16]

    def describe(self) -> str:
        """Return the setting."""
        return self.source

    def recognises(self, form: WrappedKey) -> bool:
        """Say whether a form was wrapped with this key, in whichever version."""
        return (form.kind, form.by) == (self.kind, self.id) and self._version_of(form) is not None

    def wrap(self, key_id: str, data_key: bytes) -> WrappedKey:
        """Return the data key's form under the key's newest version."""
        wrapping = secrets.token_bytes(32)
        name, wrapped = self._patience.insist(lambda: self._wrap(wrapping))
        sealed = seal_key(wrapping, data_key, bound_to(key_id, self.kind, self.id))
        return WrappedKey(key_id, self.kind, self.id, wrapped + sealed, {"name": name})

    def unwrap(self, form: WrappedKey) -> bytes | None:
        """Return the data key, or None when the form was altered."""
        version, wrapped = self._version_of(form), form.wrapped[:-SEALED_BYTES]
        if version is None or not wrapped:
            return None
        try:
            wrapping = self._patience.insist(lambda: self._unwrap(version, wrapped))
        except _Altered:
            return None
        return open_key(wrapping, form.wrapped[-SEALED_BYTES:], form.bound)

    def _version_of(self, form: WrappedKey) -> str | None:
        """Return the version that a form names of this key; None when it names another key."""
        front, _, version = str(form.more.get("name", "")).rpartition("/")
        return version if front == self.url and version.isalnum() else None

    def _wrap(self, wrapping: bytes) -> tuple[str, bytes]:
        with self._translated("wrap"), KeyClient(self._vault, self._credential, **self._options) as client:
            key = client.get_key(self._key)
            if not str(key.key_type).upper().rpartition(".")[2].startswith("RSA"):
                raise self._refusal(
                    "is not an RSA key", "Make one: az keyvault key create --kty RSA --size 3072 …", "vault-usage"
                )
            if not key.properties.enabled:
                raise self._disabled()
            with CryptographyClient(key, self._credential, **self._options) as crypto:
                found = crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapping)
            return f"{self.url}/{key.properties.version}", bytes(found.encrypted_key)

    def _unwrap(self, version: str, wrapped: bytes) -> bytes:
        with (
            self._translated("unwrap"),
            CryptographyClient(f"{self.url}/{version}", self._credential, **self._options) as crypto,
        ):
            return bytes(crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped).key)

    @cached_property
    def _credential(self) -> Any:
        return self._given or DefaultAzureCredential()

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn the SDK's errors into ours."""
        try:
            yield
        except sdk.ClientAuthenticationError as error:
            raise self._credentials(_first_line(error)) from None
        except sdk.HttpResponseError as error:
            raise self._told(what, error) from None
        except (sdk.ServiceRequestError, sdk.ServiceResponseError) as error:
            raise Again(
                f"The vault {urlsplit(self._vault).netloc} does not answer ({self.source} in [encryption]): {_first_line(error)}.",
                hint="Is its name right, and can this host reach it? A proxy comes from HTTPS_PROXY.",
                code="vault-away",
                quick=True,
            ) from None
        except (sdk.AzureError, ValueError) as error:
            raise self._refusal(f"cannot be used: {_first_line(error)}", "Is the URL right?", "vault-refused") from None

    def _told(self, what: str, error: sdk.HttpResponseError) -> Exception:
        """Return what an answer of the vault means to the person who has to act."""
        code, inner, text = _answer(error)
        status = int(error.status_code or 0)
        if status == 401:
            return self._credentials(text or "the vault does not accept them")
        if status == 429 or status >= 500:
            after = error.response.headers.get("Retry-After", "") if error.response is not None else ""
            return Again(
                f"The vault {urlsplit(self._vault).netloc} cannot do it just now ({status} {code}; {self.source} in [encryption]).",
                hint="Pitstop tries again by itself. Are many others using this vault?",
                code="vault-throttled" if status == 429 else "vault-failed",
                after_s=min(float(after), 30.0) if after.isdecimal() else 0.0,
            )
        if "disabled" in inner.lower() or "disabled" in text.lower():
            return self._disabled()
        if status == 404:
            hint = (
                "Is its name right? A deleted key can be recovered for a while: az keyvault key recover --vault-name "
                f"{urlsplit(self._vault).netloc.partition('.')[0]} --name {self._key}"
            )
            return self._refusal("does not exist (any more)", hint, "vault-no-key")
        if status == 403:
            right = _RIGHTS[what]
            hint = "Grant it, or the role Key Vault Crypto Service Encryption User; and does the vault's firewall let this host in?"
            return self._refusal(
                f"does not allow {right} to these credentials ({inner or code}: {text})", hint, "vault-denied"
            )
        if status == 400 and what == "unwrap":
            return _Altered()
        return self._refusal(
            f"was refused ({status} {code}: {text})", "Is it an RSA key that may wrap and unwrap?", "vault-refused"
        )

    def _disabled(self) -> Usage:
        hint = (
            "If that was not meant: az keyvault key set-attributes --enabled true --vault-name "
            f"{urlsplit(self._vault).netloc.partition('.')[0]} --name {self._key}"
        )
        return self._refusal("is disabled", hint, "vault-disabled")

    def _refusal(self, what: str, hint: str, code: str) -> Usage:
        return Usage(f"The key {self.source} in [encryption] {what}.", hint=hint, code=code)

    def _credentials(self, why: str) -> Usage:
        return Usage(
            f"The credentials for the key {self.source} in [encryption] cannot be used: {why.rstrip('.')}.",
            hint="Pitstop takes them where Azure's tools do: AZURE_CLIENT_ID …, a managed identity, `az login`.",
            code="vault-credentials",
        )


class _Altered(Exception):
    """The vault says that what it should unwrap is not what it wrapped."""


def _answer(error: sdk.HttpResponseError) -> tuple[str, str, str]:
    """Return code, inner code and message of an answer as Key Vault writes them."""
    try:
        told = json.loads(error.response.text()) if error.response is not None else {}
        body = told["error"]
        return (
            str(body.get("code", "")),
            str((body.get("innererror") or {}).get("code", "")),
            str(body.get("message", "")).rstrip("."),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", "", _first_line(error)


def _first_line(error: BaseException) -> str:
    lines: list[str] = str(error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

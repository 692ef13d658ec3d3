"""Run moto's server with what our tests need and moto leaves out.

Each request by itself: S3 decides on a conditional write in one step, moto in two. And KMS keys that are disabled or about to be
deleted do nothing, nor opens one key what another encrypted (AWS KMS API Reference: Encrypt, Decrypt, "Errors").

Usage: python moto_server.py PORT
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.kms.exceptions import AccessDeniedException
from moto.kms.models import KmsBackend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple


class OneByOne:
    """A WSGI application whose requests never overlap."""

    def __init__(self) -> None:
        self._inner = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        with self._lock:
            return list(self._inner(environ, start_response))


class Strict(KmsBackend):
    """Keys in a state in which AWS refuses to use them."""

    def encrypt(self, key_id: str, plaintext: bytes, encryption_context: dict[str, str]) -> tuple[bytes, str]:
        """Encrypt under a key that may be used."""
        self._require_usable(key_id)
        return _ENCRYPT(self, key_id=key_id, plaintext=plaintext, encryption_context=encryption_context)

    def decrypt(
        self, ciphertext_blob: bytes, encryption_context: dict[str, str], key_id: str | None = None
    ) -> tuple[bytes, str]:
        """Decrypt with a key that may be used, what that key encrypted."""
        if key_id is not None:
            self._require_usable(key_id)
        try:
            return _DECRYPT(self, ciphertext_blob=ciphertext_blob, encryption_context=encryption_context, key_id=key_id)
        except AccessDeniedException:
            raise _refused(
                "IncorrectKeyException", "The key ID in the request does not identify a CMK that can."
            ) from None

    def _require_usable(self, key_id: str) -> None:
        key = self.keys[self.any_id_to_key_id(key_id)]
        if key.key_state == "PendingDeletion":
            raise _refused("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        if key.key_state == "Disabled":
            raise _refused("DisabledException", f"{key.arn} is disabled.")


def _refused(code: str, message: str) -> JsonRESTError:
    error = JsonRESTError(code, message)
    error.code = 400
    return error


_ENCRYPT, _DECRYPT = KmsBackend.encrypt, KmsBackend.decrypt


def be_strict() -> None:
    """Make moto's KMS answer like the strict one above."""
    for name in ("encrypt", "decrypt", "_require_usable"):
        setattr(KmsBackend, name, getattr(Strict, name))


if __name__ == "__main__":
    be_strict()
    run_simple("127.0.0.1", int(sys.argv[1]), OneByOne(), threaded=True)

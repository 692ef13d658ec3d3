"""A key vault on loopback: HTTPS, really wraps and unwraps with RSA keys in versions, and answers as Azure documents it.

Reference: learn.microsoft.com, "Key Vault REST API": Get Key, Unwrap Key; "Authentication, requests and responses" (401 with
a challenge); "Common error codes" (ForbiddenByPolicy, KeyDisabled, KeyNotFound, Throttled).
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.x509.oid import NameOID

TOKEN = "a-token-of-the-tests"
_OAEP = OAEP(MGF1(hashes.SHA256()), hashes.SHA256(), None)


Answer = tuple[int, str, str, str, dict[str, str]]
"""Status, code, inner code, message, headers."""


class Token(NamedTuple):
    """What a credential gives: the token, and when it ends (seconds since 1970)."""

    token: str
    expires_on: int


class Credential:
    """Gives one token; an object of the SDK's protocol."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> Token:
        """Return the token."""
        self.scopes += scopes
        return Token(self.token, int(time.time()) + 3600)


@dataclass
class Version:
    """One version of a key."""

    name: str
    private: rsa.RSAPrivateKey
    enabled: bool = True


@dataclass
class Vault:
    """What the server holds and does: keys by name, newest version last; `denied` operations; `answers` given first.

    Attributes:
        answers: what the next requests get, one after the other.
        requests: what was asked, `METHOD path`.
    """

    url: str
    ca: Path
    keys: dict[str, list[Version]] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """What the SDK's clients need to talk to it: its certificate, and that its domain is not Azure's."""
        return {"connection_verify": str(self.ca), "verify_challenge_resource": False}

    def add(self, name: str) -> str:
        """Make a key, or its next version; return the key's URL."""
        versions = self.keys.setdefault(name, [])
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        versions.append(Version(f"{len(versions) + 1:032x}", private))
        return f"{self.url}/keys/{name}"


@contextlib.contextmanager
def serving_vault(folder: Path) -> Iterator[Vault]:
    """Run the server until the block ends."""
    folder.mkdir(exist_ok=True)
    chain = _certificate(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    vault = Vault(f"https://127.0.0.1:{server.server_address[1]}", chain)
    server.vault = vault  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        vault: Vault = self.server.vault  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0].strip("/")
        if self.headers.get("Authorization") is None:
            challenge = (
                'Bearer authorization="https://login.microsoftonline.com/tests", resource="https://vault.azure.net"'
            )
            self._error(
                401, "Unauthorized", "", "AKV10000: Request is missing a Bearer token.", {"WWW-Authenticate": challenge}
            )
            return
        vault.requests.append(f"{self.command} {path}")
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self._error(401, "Unauthorized", "", "AKV10032: Invalid issuer.", {})
        elif vault.answers:
            self._error(*vault.answers.pop(0))
        else:
            self._operation(vault, path.split("/"), body)

    def _operation(self, vault: Vault, path: list[str], body: bytes) -> None:
        match path:
            case ["keys", name]:
                number, verb = "", "get"
            case ["keys", name, number]:
                verb = "get"
            case ["keys", name, number, verb]:
                pass
            case _:
                self._error(400, "BadParameter", "", f"{self.path} is not understood.", {})
                return
        version = next((one for one in reversed(vault.keys.get(name, [])) if number in {"", one.name}), None)
        if version is None:
            message = f"A key with (name/id) {name}/{number} was not found in this key vault."
            self._error(404, "KeyNotFound", "", message, {})
        elif verb in vault.denied:
            message = "The user, group or application does not have keys " + verb + " permission on key vault 'tests'."
            self._error(403, "Forbidden", "ForbiddenByPolicy", message, {})
        elif verb == "get":
            self._send(200, self._bundle(vault, name, version), {})
        elif not version.enabled:
            self._error(403, "Forbidden", "KeyDisabled", f"Operation {verb} is not allowed on a disabled key.", {})
        else:
            self._crypto(vault, name, version, verb, json.loads(body))

    def _crypto(self, vault: Vault, name: str, version: Version, verb: str, asked: dict[str, str]) -> None:
        value = base64.urlsafe_b64decode(asked["value"] + "==")
        if asked["alg"] != "RSA-OAEP-256" or verb not in {"wrapkey", "unwrapkey"}:
            self._error(400, "BadParameter", "", "The algorithm or operation is not supported.", {})
            return
        try:
            done = (
                version.private.public_key().encrypt(value, _OAEP)
                if verb == "wrapkey"
                else version.private.decrypt(value, _OAEP)
            )
        except ValueError:
            self._error(400, "BadParameter", "", "The parameter is incorrect.", {})
            return
        self._send(200, {"kid": f"{vault.url}/keys/{name}/{version.name}", "value": _b64(done)}, {})

    def _bundle(self, vault: Vault, name: str, version: Version) -> dict[str, Any]:
        numbers = version.private.public_key().public_numbers()
        key = {
            "kid": f"{vault.url}/keys/{name}/{version.name}",
            "kty": "RSA",
            "key_ops": ["wrapKey", "unwrapKey"],
            "n": _b64(numbers.n.to_bytes(256, "big")),
            "e": _b64(numbers.e.to_bytes(3, "big")),
        }
        return {"key": key, "attributes": {"enabled": version.enabled, "created": 1, "updated": 1}}

    def _error(self, status: int, code: str, inner: str, message: str, headers: dict[str, str]) -> None:
        error: dict[str, Any] = {"code": code, "message": message}
        if inner:
            error["innererror"] = {"code": inner}
        self._send(status, {"error": error}, headers)

    def _send(self, status: int, document: dict[str, Any], headers: dict[str, str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _certificate(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1 that signs itself, with its key; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault of the tests")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "vault.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path

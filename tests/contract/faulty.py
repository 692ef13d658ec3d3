"""A faulty HTTP proxy on loopback: passes requests on, except those it was told to spoil. It also counts them."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["answer", "reset", "lost", "truncate", "break", "slow", "stale"]


@dataclass
class Fault:
    """What happens to requests whose `METHOD target` matches.

    Kinds: `answer` without asking the server; `reset` before asking it; `lost`, reset after the server did it; `truncate`, a
    body that ends early and says so in its length; `break`, one that breaks off; `slow`; `stale`, the answer that the first
    such request got.

    Attributes:
        times: how many requests are spoiled.
        skip: how many pass before.
        at: bytes of body before it ends, or the seconds of `slow`.
    """

    matching: str
    kind: Kind
    times: int = 1
    skip: int = 0
    at: float = 0
    status: int = 503
    code: str = "SlowDown"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hit: int = 0


class FaultyProxy:
    """The proxy, in threads of this process, in front of the server at `upstream`."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.upstream = parts.netloc
        self.path = parts.path
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._faults: list[Fault] = []
        self._kept: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            faulty = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return where the proxy listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{self.path}"

    def spoil(self, matching: str, kind: Kind, **more: object) -> Fault:
        """Spoil requests from now on; see `Fault`."""
        fault = Fault(matching, kind, **more)  # type: ignore[arg-type]
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def count(self, matching: str) -> int:
        """Return how many requests matched."""
        with self._lock:
            return sum(re.search(matching, request) is not None for request in self.requests)

    def fault_of(self, request: str) -> Fault | None:
        """Note a request and return what spoils it."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if re.search(fault.matching, request):
                    fault.hit += 1
                    if fault.skip < fault.hit <= fault.skip + fault.times:
                        return fault
        return None

    def keep(
        self, request: str, answer: tuple[int, list[tuple[str, str]], bytes]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return the first answer that `request` ever got."""
        with self._lock:
            return self._kept.setdefault(request, answer)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that break off are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    faulty: FaultyProxy
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_any(self) -> None:
        request = f"{self.command} {self.path}"
        fault = self.faulty.fault_of(request)
        self.faulty.headers.append({name.lower(): value for name, value in self.headers.items()})
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        if len(content) < length:
            self.close_connection = True  # the client was killed meanwhile
            return
        if fault and fault.kind == "reset":
            self._reset()
            return
        if fault and fault.kind == "answer":
            body = fault.body if fault.body is not None else _error(fault.code)
            self._send(fault.status, list(fault.headers.items()), body, None)
            return
        if fault and fault.kind == "slow":
            time.sleep(fault.at)
        status, headers, body = answer = self._ask(content)
        if fault and fault.kind == "stale":
            status, headers, body = self.faulty.keep(request, answer)
        if fault and fault.kind == "lost":
            self._reset()
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._send(status, headers, body, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any  # noqa: N815  http.server finds them by these names

    def _ask(self, content: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.faulty.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"connection", "expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(content)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault | None) -> None:
        cut = fault is not None and fault.kind in {"truncate", "break"}
        kept = body[: int(fault.at)] if fault is not None and cut else body
        self.send_response_only(status)
        length = None
        for name, value in headers:
            if name.lower() == "content-length":
                length = value
            elif name.lower() not in {"connection", "transfer-encoding", "keep-alive"}:
                self.send_header(name, value)
        if self.command == "HEAD":
            self.send_header("Content-Length", length or "0")
        elif status not in {204, 304}:
            lies = fault is not None and fault.kind == "truncate"
            self.send_header("Content-Length", str(len(kept) if lies else len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(kept)
        if fault is not None and fault.kind == "break":
            self._reset()

    def _reset(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Spoiled for a test</Message></Error>".encode()


@contextlib.contextmanager
def proxied(upstream: str) -> Iterator[FaultyProxy]:
    """Run a faulty proxy in front of a server."""
    proxy = FaultyProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()

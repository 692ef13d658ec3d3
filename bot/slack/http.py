"""Signed HTTP, where no socket is wanted: Bolt checks every signature, waitress serves, a health path answers load balancers.

Source: https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from slack_bolt import App
from slack_bolt.adapter.wsgi import SlackRequestHandler
from waitress import create_server

from bot.errors import Usage

log = structlog.get_logger("pitstop.http")

PATH = "/slack/events"
HEALTH_PATH = "/health"
THREADS = 64
_MAX_BODY_BYTES = 1_000_000
_STOP_S = 5.0
_MAX_TIMESTAMP_DIGITS = 12

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class HttpListener:
    """Serves Slack's requests on `listen` (`host:port`); TLS ends at whatever stands before it."""

    def __init__(self, app: App, listen: str) -> None:
        self._handler = SlackRequestHandler(app, path=PATH)
        self._listen = listen
        self.port = 0
        self.ready = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            Usage: the address cannot be listened on.
        """
        try:
            server = create_server(
                self._serve, listen=self._listen, threads=THREADS, max_request_body_size=_MAX_BODY_BYTES, ident=None
            )
        except (OSError, ValueError) as error:
            raise Usage(
                f"{self._listen} cannot be listened on: {error}.",
                hint="Is `slack.http_listen` free?",
                code="port-in-use",
            ) from None
        self.port = int(server.effective_port)
        self.ready.set()
        log.info("listening for signed requests", address=self._listen, path=PATH)
        worker = threading.Thread(target=server.run, name="http", daemon=True)
        worker.start()
        stop.wait()
        server.close()
        worker.join(_STOP_S)

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == HEALTH_PATH:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok\n"]
        if not readable_timestamp(str(environ.get("HTTP_X_SLACK_REQUEST_TIMESTAMP", ""))):
            start_response("401 Unauthorized", [("Content-Type", "text/plain")])
            return [b""]
        return self._handler(environ, start_response)


def readable_timestamp(given: str) -> bool:
    """Say whether the SDK's verifier can judge a timestamp: it raises an error for other text and for numbers without end. Pure."""
    return given.isascii() and given.isdigit() and len(given) <= _MAX_TIMESTAMP_DIGITS

"""Signed HTTP: Bolt under waitress, for workspaces where no socket can be opened."""

from __future__ import annotations

import threading

import structlog
import waitress
from slack_bolt import App
from slack_bolt.adapter.wsgi import SlackRequestHandler

from bot.errors import Unavailable, Usage

THREADS = 64
MAX_BODY_BYTES = 1024 * 1024
log = structlog.get_logger("pitstop.http")


class HttpListener:
    """Receives what people do as signed requests on `listen` (`host:port`); Bolt checks signature and age.

    TLS is a reverse proxy's business; `listen` is a loopback address unless somebody decides otherwise.
    """

    def __init__(self, app: App, listen: str) -> None:
        self._handler = SlackRequestHandler(app)
        self._host, self._port = _address(listen)

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            Unavailable: the address cannot be listened on, or the server ended by itself.
        """
        server = self._open()
        thread = threading.Thread(target=server.run, name="http", daemon=True)
        thread.start()
        log.info("listening", host=self._host, port=self._port)
        try:
            while not stop.wait(0.5):
                if not thread.is_alive():
                    raise Unavailable("The HTTP server ended by itself.", hint="Its log says why.", code="http-ended")
        finally:
            server.task_dispatcher.shutdown()
            server.close()

    def _open(self) -> waitress.server.BaseWSGIServer:
        try:
            return waitress.create_server(
                self._handler,
                host=self._host,
                port=self._port,
                threads=THREADS,
                max_request_body_size=MAX_BODY_BYTES,
                ident=None,
            )
        except OSError as error:
            raise Unavailable(
                f"Cannot listen on {self._host}:{self._port}: {error.strerror or error}.",
                hint="Is the port in use? Set slack.http_listen to another one.",
                code="cannot-listen",
            ) from None


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65536):
        raise Usage(
            f"slack.http_listen = {listen!r} is not host:port.", hint="Write 127.0.0.1:8088.", code="bad-address"
        )
    return host.strip("[]"), int(port)

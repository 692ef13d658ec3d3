"""Socket Mode without the gap: at a refresh the old socket is read on, and answered on, while the new one already is.

The SDK's client reads one socket at a time and waits for the old one's 3 s time-out before it turns to the new one: a missed
acknowledgement for whoever pressed a button then. It also answers over whatever socket is current, which a workspace that
waits on the old one never sees. Source: https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from slack_bolt import App
from slack_bolt.adapter.socket_mode.internals import run_bolt_app, send_response
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError, SlackClientNotConnectedError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.builtin.connection import Connection, ConnectionState
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from bot.errors import Usage
from bot.slack.client import direct, quiet_logs

log = structlog.get_logger("pitstop.socket")

WORKERS = 64
OVERLAP_S = 12.0
_PING_S = 10.0
_FATAL = {
    "link_disabled": "Socket Mode is switched off for this app",
    "team_migration_started": "The workspace is moving",
}
_FATAL_ERRORS = {
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "not_allowed_token_type",
    "missing_scope",
}


@dataclass(frozen=True, slots=True)
class Answering:
    """The way back of one envelope: the connection it came on while that one lives, else the current one."""

    client: OverlappingClient
    connection: Connection

    @property
    def logger(self) -> logging.Logger:
        """What Bolt's adapter logs to."""
        return self.client.logger

    def send_socket_mode_response(self, response: SocketModeResponse) -> None:
        """Acknowledge."""
        text = json.dumps(response.to_dict())
        try:
            self.connection.send(text)
        except SlackClientNotConnectedError:
            self.client.send_message(text)


Receive = Callable[[Answering, SocketModeRequest], None]


class OverlappingClient(SocketModeClient):
    """The SDK's client, but each connection is read by a thread of its own until it is empty or 12 s older than its successor.

    Every envelope goes to `receive` in one of 64 threads, with the way to answer it.
    """

    def __init__(self, app_token: str, web_client: WebClient, receive: Receive) -> None:
        self.fatal = ""
        self._receive = receive
        self._renewing = threading.Lock()
        super().__init__(
            app_token=app_token,
            web_client=web_client,
            logger=logging.getLogger("slack_sdk.socket_mode"),
            ping_interval=_PING_S,
            receive_buffer_size=65536,
            concurrency=WORKERS,
        )
        if web_client.proxy is None:
            self.proxy = None

    def connect(self) -> None:
        """Open the connection that `wss_uri` names, start reading it, and let the one before run out."""
        if self.wss_uri is None:
            self.wss_uri = self.issue_new_wss_url()
        fresh, state = self._open(self.wss_uri), ConnectionState()  # type: ignore[no-untyped-call]
        fresh.connect()
        if not fresh.is_active():
            raise SlackClientError("the WebSocket could not be opened")
        before, before_state = self.current_session, self.current_session_state
        self.current_session, self.current_session_state = fresh, state
        self.auto_reconnect_enabled = self.default_auto_reconnect_enabled
        threading.Thread(target=fresh.run_until_completion, args=(state,), name="socket", daemon=True).start()
        if before is not None:
            threading.Thread(target=_retire, args=(before, before_state), name="socket-retire", daemon=True).start()
        if not self.current_app_monitor_started:
            self.current_app_monitor_started = True
            self.current_app_monitor.start()

    def _open(self, url: str) -> Connection:
        proxy = None if direct(urlsplit(url).hostname or "") else self.proxy
        connection = Connection(
            url=url,
            logger=self.logger,
            ping_interval=self.ping_interval,
            receive_buffer_size=self.receive_buffer_size,
            proxy=proxy,
            proxy_headers=self.proxy_headers,
            on_error_listener=self._on_error,
            on_close_listener=self._on_close,
            ssl_context=self.web_client.ssl,
        )
        connection.on_message_listener = lambda text: self._received(connection, text)
        return connection

    def _run_current_session(self) -> None:
        """Leave the reading to each connection's own thread."""

    def _received(self, connection: Connection, text: str) -> None:
        """Hand an envelope to a thread; a goodbye renews the connection at once, beside those threads."""
        if '"disconnect"' in text and (reason := _goodbye(text)) is not None:
            if connection is self.current_session:
                self._leave(reason)
            return
        self.message_workers.submit(self._work, connection, text)

    def _work(self, connection: Connection, text: str) -> None:
        """Read an envelope and answer it; what cannot be answered any more comes again from Slack."""
        try:
            request = SocketModeRequest.from_dict(json.loads(text))
            if request is not None:
                self._receive(Answering(self, connection), request)
        except Exception as error:
            log.error("an envelope was not answered", exc_info=error)

    def _leave(self, reason: str) -> None:
        log.info("slack closes the socket", reason=reason)
        if reason in _FATAL:
            self.auto_reconnect_enabled = self.default_auto_reconnect_enabled = False
            self.fatal = reason
            return
        threading.Thread(target=self._renew, args=(reason,), name="socket-renew", daemon=True).start()

    def _renew(self, reason: str) -> None:
        if not self._renewing.acquire(blocking=False):
            return
        try:
            if reason == "too_many_websockets":
                time.sleep(5.0)
            self.connect_to_new_endpoint(force=True)
        except (SlackApiError, SlackClientError, OSError) as error:
            log.warning("socket not renewed yet", error=str(error)[:200])
        finally:
            self._renewing.release()


class SocketListener:
    """Receives what people do over Socket Mode and hands it to Bolt."""

    def __init__(self, app: App, app_token: str, client: WebClient) -> None:
        quiet_logs()
        self._app = app
        self._client = OverlappingClient(app_token, client, self._handle)

    @property
    def connected(self) -> bool:
        """Whether a socket is open now."""
        return self._client.is_connected()

    def run(self, stop: threading.Event) -> None:
        """Listen until `stop` is set.

        Raises:
            Usage: Slack will not take this app's sockets (a wrong token, Socket Mode switched off); trying again cannot help.
        """
        try:
            self._connect(stop)
            while not stop.wait(0.5):
                if self._client.fatal:
                    raise _switched_off(self._client.fatal)
        finally:
            self._client.close()

    def _connect(self, stop: threading.Event) -> None:
        pause = 0.5
        while not stop.is_set():
            try:
                self._client.connect()
            except (SlackApiError, SlackClientError, OSError) as error:
                _raise_if_final(error)
                log.warning("slack not reached, trying again", error=str(error)[:200], seconds=pause)
                self._client.wss_uri = None
                stop.wait(pause)
                pause = min(pause * 2, 30.0)
            else:
                return

    def _handle(self, answering: Answering, request: SocketModeRequest) -> None:
        """Run Bolt for one envelope and answer it."""
        started = time.time()
        response = run_bolt_app(self._app, request)
        send_response(answering, request, response, started)  # type: ignore[arg-type]  # it uses these two members


def _retire(connection: Connection, state: ConnectionState) -> None:
    """Read a replaced connection until the server closes it or its time is up, then close it without waiting for its time-out."""
    end = time.monotonic() + OVERLAP_S
    while time.monotonic() < end and not state.terminated and connection.is_active():
        time.sleep(0.1)
    state.terminated = True
    raw = connection.sock
    if raw is not None:
        try:
            raw.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("the old socket was gone already")
        connection.close()


def _goodbye(text: str) -> str | None:
    """Return why Slack says goodbye, or None when the message is something else."""
    try:
        message: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("type") != "disconnect":
        return None
    return str(message.get("reason", ""))


def _raise_if_final(error: Exception) -> None:
    if isinstance(error, SlackApiError) and error.response.get("error") in _FATAL_ERRORS:
        word = error.response.get("error")
        raise Usage(
            f"Slack refuses the app token: {word}.",
            hint="Is SLACK_APP_TOKEN (xapp-…) of this app, with the scope connections:write? Run `pitstop check`.",
            code=f"slack-{str(word).replace('_', '-')}",
        ) from None


def _switched_off(reason: str) -> Usage:
    return Usage(
        f"{_FATAL[reason]}.",
        hint="Switch it on in the app's settings, or set SLACK_SIGNING_SECRET to use signed HTTP; then start again.",
        code=f"slack-{reason.replace('_', '-')}",
    )

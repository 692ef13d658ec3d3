"""An app of the test's own: it answers what people do by signed HTTP, and acts through the Web API."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from slack_sdk import WebClient

from bot.sandbox.server import Sandbox

Json = dict[str, Any]
Answer = Callable[[Json], Json | None]


@dataclass
class PretendApp:
    """What the app heard, and what it answers: `answers` by the payload's type; `command` for slash commands."""

    client: WebClient
    answers: dict[str, Answer] = field(default_factory=dict)
    heard: list[Json] = field(default_factory=list)

    def hear(self, payload: Json) -> Json:
        """Keep a payload and answer it."""
        self.heard.append(payload)
        return (answer(payload) if (answer := self.answers.get(payload["type"])) else None) or {}


@contextmanager
def pretend_app(sandbox: Sandbox) -> Iterator[PretendApp]:
    """Connect an app to the sandbox until the block ends."""
    client = WebClient(sandbox.bot_token, base_url=sandbox.api_url)
    client.proxy = None  # the sandbox is on this machine
    app = PretendApp(client)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer = json.dumps(app.hear(_payload(body, self.headers["Content-Type"]))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    sandbox.driver().change_app(request_url=f"http://127.0.0.1:{server.server_address[1]}/slack/events")
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _payload(body: str, content_type: str) -> Json:
    if content_type.startswith("application/json"):
        return dict(json.loads(body))
    form = dict(urllib.parse.parse_qsl(body))
    return dict(json.loads(form["payload"])) if "payload" in form else {"type": "command", **form}

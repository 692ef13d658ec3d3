"""What people do in Slack: parse, record or gather facts, call one desk verb, which authorizes inside its transaction.

To run: `wiring = wire(config, ledger, client)`, `app = build_app(wiring)`, an `InboxWorker(wiring)`, a `build_sender(wiring)`,
and either `bot.slack.socket.SocketListener(app, app_token, client)` or `slack_bolt.adapter.wsgi.SlackRequestHandler(app)`.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from slack_bolt import App
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse

from bot.slack.client import quiet_logs
from handlers import backup, buttons, catchall, modals, pitr
from handlers.inbox import InboxWorker, work_off_inbox
from handlers.payloads import is_ours
from handlers.wiring import Wiring, build_sender, wire

log = structlog.get_logger("pitstop.handlers")

LISTENERS = 64


def build_app(wiring: Wiring, *, signing_secret: str | None = None) -> App:
    """Return the Bolt app with every listener; with a signing secret it verifies signed HTTP."""
    quiet_logs()
    identity = wiring.identity

    def authorize(enterprise_id: str | None) -> AuthorizeResult:
        """Answer from what was asked at the start: one workspace, one token, no call per request."""
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=identity.team,
            bot_id=identity.bot,
            bot_user_id=identity.user,
            bot_token=wiring.client.token,
        )

    app = App(
        name="pitstop",
        client=wiring.client,
        signing_secret=signing_secret or secrets.token_hex(32),
        authorize=authorize,
        listener_executor=ThreadPoolExecutor(LISTENERS, "listener"),
    )
    register(app, wiring)
    return app


def register(app: App, wiring: Wiring) -> None:
    """Register every listener; payloads of other apps or workspaces reach none of them."""

    def ours(body: dict[str, Any], next: Any) -> BoltResponse | None:  # noqa: A002 - Bolt's word
        if not is_ours(body, team=wiring.identity.team, app=wiring.identity.app):
            log.warning("a payload for another app or workspace was refused", kind=str(body.get("type", ""))[:40])
            return BoltResponse(status=403, body="")
        next()
        return None

    app.use(ours)
    for room in (backup, pitr, buttons, modals, catchall):
        room.register(app, wiring)


__all__ = ["InboxWorker", "Wiring", "build_app", "build_sender", "register", "wire", "work_off_inbox"]

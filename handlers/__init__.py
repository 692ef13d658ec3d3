"""What people do in Slack: parse, record or gather facts, call one desk verb, which authorizes inside its transaction.

To run: `wiring = wire(config, ledger, client, away)`, `app = build_app(wiring)`, an `InboxWorker(wiring)`,
a `build_sender(wiring)`, and either
`bot.slack.socket.SocketListener(app, app_token, client)` or `slack_bolt.adapter.wsgi.SlackRequestHandler(app)`.
"""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from slack_bolt import App
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request import BoltRequest
from slack_bolt.response import BoltResponse

from bot.errors import Usage
from bot.slack.client import quiet_logs
from bot.slack.replays import SeenSignatures
from handlers import backup, buttons, catchall, home, modals, pitr, rehearsal, restore
from handlers.inbox import InboxWorker, work_off_inbox
from handlers.payloads import is_ours
from handlers.wiring import Wiring, build_sender, wire

log = structlog.get_logger("pitstop.handlers")

LISTENERS = 64


def build_app(
    wiring: Wiring, *, signing_secret: str | None = None, homes: home.Homes | None = None, threads: int = LISTENERS
) -> App:
    """Return the Bolt app with every listener; with a signing secret it verifies signed HTTP, and takes no request twice.

    `threads`: how many payloads are worked on at once.

    Raises:
        Usage: Slack did not say which app we are, so that payloads for another one could not be told apart.
    """
    quiet_logs()
    identity = wiring.identity
    if not identity.app:
        raise Usage(
            "Slack does not say which app the bot token belongs to.",
            hint="Has the token the scope users:read? Run `pitstop check`.",
            code="app-unknown",
        )

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
        name="slack_bolt.pitstop",  # Bolt sets the level of the logger of this name, which should not be ours
        client=wiring.client,
        signing_secret=signing_secret or secrets.token_hex(32),
        authorize=authorize,
        listener_executor=ThreadPoolExecutor(threads, "listener"),
    )
    if signing_secret:
        _refuse_replays(app)
    register(app, wiring, homes)
    return app


def _refuse_replays(app: App) -> None:
    """Refuse a request whose signature, verified just before, came already."""
    seen = SeenSignatures()

    def once(req: BoltRequest, next: Any) -> BoltResponse | None:  # noqa: A002 - Bolt's word
        if not seen.first("".join(req.headers.get("x-slack-signature", [])), time.monotonic()):
            log.warning("a signed request was sent again and refused")
            return BoltResponse(status=403, body="")
        next()
        return None

    app.use(once)


def register(app: App, wiring: Wiring, homes: home.Homes | None = None) -> None:
    """Register every listener; payloads of other apps or workspaces reach none of them."""

    identity = wiring.identity

    def ours(body: dict[str, Any], next: Any) -> BoltResponse | None:  # noqa: A002 - Bolt's word
        if not is_ours(body, team=identity.team, app=identity.app or ""):
            log.warning("a payload for another app or workspace was refused", kind=str(body.get("type", ""))[:40])
            return BoltResponse(status=403, body="")
        next()
        return None

    app.use(ours)
    home.register(app, wiring, homes or home.Homes(wiring))
    for room in (backup, pitr, buttons, modals, rehearsal, restore, catchall):
        room.register(app, wiring)


__all__ = ["InboxWorker", "Wiring", "build_app", "build_sender", "register", "wire", "work_off_inbox"]

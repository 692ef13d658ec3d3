"""A refreshed socket loses nobody's acknowledgement: what came over the old one is answered over the old one."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slack_bolt import App
from slack_sdk import WebClient

from bot.sandbox.driver import Outcome
from bot.sandbox.server import Sandbox
from bot.slack.socket import SocketListener

SLOW_S = 0.6


def test_refresh_while_envelopes_are_being_answered() -> None:
    """Ten commands are under way when Slack replaces the socket: each is delivered once, and acknowledged in its time."""
    with Sandbox.start(rate_limits=False) as sandbox:
        client = WebClient(sandbox.bot_token, base_url=sandbox.api_url)
        client.proxy = None
        app = App(client=client, token_verification_enabled=False)

        @app.command("/backup")
        def on_backup(ack: Any) -> None:
            time.sleep(SLOW_S)
            ack()

        stop = threading.Event()
        listener = SocketListener(app, sandbox.app_token, client)
        listening = threading.Thread(target=listener.run, args=(stop,), name="listener")
        listening.start()
        try:
            driver = sandbox.driver()
            driver.wait_for(lambda d: d.sockets() == 1, 10, what="a socket")
            with ThreadPoolExecutor(10) as people:
                told = [people.submit(_back_up, sandbox) for _ in range(10)]
                driver.wait_for(lambda d: len(d.deliveries()) == 10, 10, what="ten deliveries")
                driver.fault("refresh")
                outcomes = [one.result() for one in told]
        finally:
            stop.set()
            listening.join(20)
        assert all(outcome.acked for outcome in outcomes), outcomes
        assert [delivery.attempts for delivery in driver.deliveries()] == [1] * 10


def _back_up(sandbox: Sandbox) -> Outcome:
    return sandbox.driver().command("nok", "db-backups", "/backup")

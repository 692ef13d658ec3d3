"""What `pitstop check` says about being noticed: whom alerts call, the fallback, the heartbeat, the metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.commands.check import Point
    from bot.config import Config

ABOUT = "alerts"


def attention_points(config: Config) -> Iterator[Point]:
    """Say what is on, and the line that turns on what is off; only what is on and does not work fails."""
    yield from _oncall(config)
    yield from _fallback(config)
    yield from _heartbeat(config)
    yield from _metrics(config)


def _oncall(config: Config) -> Iterator[Point]:
    from bot.commands.check import Point

    if config.slack is None:
        return
    if config.slack.oncall:
        yield Point(ABOUT, "ok", "oncall", f"Alerts that page mention {config.slack.oncall}.")
        return
    sentence, fix = (
        "Alerts that page mention nobody in Slack.",
        '[slack] oncall = "S…"  # a user group or a user, by id',
    )
    yield Point(ABOUT, "warn", "oncall", sentence, fix)


def _fallback(config: Config) -> Iterator[Point]:
    from bot.commands.check import Point
    from bot.errors import PitstopError
    from bot.notify import Fallback

    try:
        urls = config.notify.urls
        if urls:
            Fallback(urls)
    except PitstopError as error:
        yield Point(ABOUT, "fail", error.reason_code, error.message, error.hint)
        return
    if not urls:
        fix = "Set PITSTOP_NOTIFY_URLS, or notify.urls_file: one Apprise address a line (mailto://…, pagerduty://…)."
        yield Point(ABOUT, "warn", "fallback", "There is no fallback: with Slack away nobody hears of anything.", fix)
        return
    others = "" if config.notify.severity == "page" else f", and what is {config.notify.severity} or worse"
    sentence = f"Pages{others} also go to {len(urls)} address{'es' * (len(urls) > 1)}; with Slack away everything does."
    yield Point(ABOUT, "ok", "fallback", sentence)


def _heartbeat(config: Config) -> Iterator[Point]:
    from bot.commands.check import Point

    if config.monitor.heartbeat_url:
        yield Point(ABOUT, "ok", "heartbeat", "A heartbeat is sent every minute while the bot is well.")
    else:
        sentence = "There is no heartbeat: if the bot dies, or its machine, nothing says so."
        yield Point(ABOUT, "warn", "heartbeat", sentence, '[monitor] heartbeat_url = "https://…"')


def _metrics(config: Config) -> Iterator[Point]:
    from bot.commands.check import Point

    if config.metrics.address is None:
        yield Point(ABOUT, "ok", "metrics", 'Metrics are not served ([metrics] listen = "127.0.0.1:9187" serves them).')
        return
    host, port = config.metrics.address
    yield Point(ABOUT, "ok", "metrics", f"Metrics are served at http://{host}:{port}/metrics.")

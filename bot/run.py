"""`pitstop run`: the bot. One leads, others stand by; jobs outlive it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from slack_bolt import App

from bot import __version__
from bot import log as logs
from bot.attention import Attention, note_repositories
from bot.config import Config, SlackConfig
from bot.errors import PitstopError, Unavailable, Usage
from bot.ledger import Ledger, people
from bot.metrics import serve_metrics
from bot.model.ids import ClusterName
from bot.model.requests import Request
from bot.process.crew import Crew
from bot.process.leader import leadership
from bot.process.place import Place
from bot.process.requests import Refresh
from bot.process.schedule import keep_schedule
from bot.process.supervisor import Supervisor, no_refresh
from jobs.catalogue import renew_catalogue
from jobs.old_backups.files import keep_old_backups
from jobs.runbook import keep_runbook

SLACK_AGAIN_S, SLACK_AGAIN_AT_MOST_S = 1.0, 30.0
CATALOGUE_EVERY_S, CATALOGUE_AGAIN_S = 600.0, 60.0
log = structlog.get_logger("pitstop.run")


@dataclass(frozen=True)
class Tokens:
    """What Slack knows us by; `app` opens a socket, `signing_secret` checks HTTP requests. One of the two is there."""

    bot: str
    app: str | None
    signing_secret: str | None


def main(config: Config, config_path: Path) -> int:
    """Run the bot until SIGTERM or SIGINT; while another one leads, stand by.

    Raises:
        Usage: Slack is configured and a token is missing.
        Unavailable: the ledger or the leader's lock cannot be used.
        whatever ended one of the bot's threads: it ends loudly, and systemd starts it anew.
    """
    logs.to_stderr()
    tokens = _tokens(config.slack) if config.slack else None
    ledger = Ledger(config.ledger)
    ledger.create()
    place, crew = Place(config, config_path, ledger), Crew()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: crew.end())
    with leadership(place.leader_lock, crew.stop, lambda: log.info("another bot leads; standing by")) as leading:
        if leading:
            with ledger.kept_open():
                _lead(place, crew, tokens)
    log.info("ended; jobs go on")
    return 0


def _lead(place: Place, crew: Crew, tokens: Tokens | None) -> None:
    log.info("leading", version=__version__, clusters=sorted(place.config.clusters))
    refresh: Refresh = no_refresh
    attention = Attention(place)
    if tokens is None:
        log.warning("there is no [slack] in the configuration: nobody can ask or approve in Slack")
    else:
        slack = SlackSide(place, tokens, attention.monitor.away)
        refresh = slack.refresh
        crew.start("slack", slack.run)
    crew.start("schedule", lambda stop: keep_schedule(place, stop))
    crew.start("supervisor", Supervisor(place, refresh).run)
    crew.start("catalogue", lambda stop: _keep_catalogue(place, stop))
    crew.start("monitor", attention.watch)
    crew.start("fallback", attention.tell)
    crew.start("heartbeat", attention.beat)
    crew.start("metrics", lambda stop: serve_metrics(place, lambda: attention.monitor.sight, stop))
    crew.join()


def _tokens(slack: SlackConfig) -> Tokens:
    bot, app, secret = slack.bot_token, slack.app_token, slack.signing_secret
    if not bot:
        raise Usage(
            "There is no bot token for Slack.",
            hint="Set SLACK_BOT_TOKEN (xoxb-…), or slack.bot_token_file. `pitstop manifest` makes the app.",
            code="no-bot-token",
        )
    if not (app or secret):
        raise Usage(
            "There is neither an app token nor a signing secret for Slack.",
            hint="Set SLACK_APP_TOKEN (xapp-…, Socket Mode), or SLACK_SIGNING_SECRET for signed HTTP.",
            code="no-app-token",
        )
    for token, start, name in ((bot, "xoxb-", "SLACK_BOT_TOKEN"), (app, "xapp-", "SLACK_APP_TOKEN")):
        if token and not token.startswith(start):
            raise Usage(f"{name} does not start with {start}.", hint="Were the two tokens swapped?", code="wrong-token")
    return Tokens(bot, app, secret)


def _keep_catalogue(place: Place, stop: threading.Event) -> None:
    """Renew the ledger's copy of what the repositories hold, and the runbooks, now and every ten minutes.

    A repository that cannot be used becomes an alert, and is asked again after a minute.
    """
    while not stop.is_set():
        pause_s = CATALOGUE_EVERY_S
        for name in place.config.clusters:
            try:
                keep_old_backups(place.config, place.ledger, ClusterName(name))
                renew_catalogue(place.config, place.ledger, ClusterName(name))
                keep_runbook(place.config, place.ledger, ClusterName(name), place.now())
                note_repositories(place, name, None)
            except PitstopError as error:
                log.warning("catalogue or runbook not renewed", cluster=name, error=error.message, hint=error.hint)
                note_repositories(place, name, error)
                pause_s = CATALOGUE_AGAIN_S
        stop.wait(pause_s)


class SlackSide:
    """Everything that talks to Slack. When Slack is away, or refuses us, backups and WAL go on and this tries again."""

    def __init__(self, place: Place, tokens: Tokens, away: Callable[[str], dict[str, str]]) -> None:
        from bot.slack.client import web_client

        assert place.config.slack is not None
        self._place, self._tokens, self._config = place, tokens, place.config.slack
        self._client = web_client(tokens.bot, api_url=self._config.api_url)
        self._away = away

    def run(self, stop: threading.Event) -> None:
        """Connect, listen, work off the inbox and send until `stop`; start over when Slack ends it."""
        pause_s = SLACK_AGAIN_S
        while not stop.is_set():
            begun = time.monotonic()
            try:
                self._serve(stop)
            except PitstopError as error:
                # Away for a moment: soon again. Refused, or away for long: less and less often.
                long_served = time.monotonic() - begun > SLACK_AGAIN_AT_MOST_S
                pause_s = SLACK_AGAIN_S if long_served else min(pause_s * 2, SLACK_AGAIN_AT_MOST_S)
                log.error("slack", error=error.message, hint=error.hint, again_in_s=pause_s)
                self._note_away(True)
                stop.wait(pause_s)

    def refresh(self, request: Request) -> None:
        """Ask Slack about everybody an approval stands on; with Slack away the ledger says so, and the claim is stricter."""
        from bot.slack.people import refresh_for_request

        policy = self._place.config.cluster(request.cluster).policy
        refresh_for_request(self._client, self._place.ledger, request=request, policy=policy, at=self._place.now())

    def _serve(self, stop: threading.Event) -> None:
        from handlers import build_app, work_off_inbox
        from handlers.home import Homes
        from handlers.wiring import build_sender, wire

        wiring = wire(self._place.config, self._place.ledger, self._client, self._away)
        try:
            _check_scopes(wiring.identity.scopes)
            sender = build_sender(wiring)
            homes = Homes(wiring)
            app = build_app(wiring, signing_secret=self._tokens.signing_secret, homes=homes)
            self._note_away(False)
            crew = Crew()
            crew.start("sender", sender.run)
            crew.start("home", homes.keep_current)
            crew.start("inbox", lambda ended: work_off_inbox(wiring, ended))
            crew.start("listener", self._listener(app))
            _until(stop, crew)
        finally:
            wiring.close()

    def _listener(self, app: App) -> Callable[[threading.Event], None]:
        if self._tokens.signing_secret:
            from bot.slack.http import HttpListener

            return HttpListener(app, self._config.http_listen).run
        from bot.slack.socket import SocketListener

        assert self._tokens.app is not None
        return SocketListener(app, self._tokens.app, self._client).run

    def _note_away(self, away: bool) -> None:
        try:
            with self._place.ledger.transaction() as tx:
                people.set_slack_away(tx, away)
        except Unavailable:
            log.warning("the ledger does not answer")


def _check_scopes(granted: tuple[str, ...]) -> None:
    """Refuse to serve with a token that lacks a scope; Slack would let single features fail one by one.

    Raises:
        Usage: names the scopes.
    """
    from bot.slack.manifest import SCOPES

    missing = [scope for scope in SCOPES if scope not in granted]
    if granted and missing:
        raise Usage(
            f"The Slack token lacks the scopes {', '.join(missing)}.",
            hint="Add them under OAuth & Permissions, install the app again, use its new token; `pitstop manifest` lists them.",
            code="missing-scope",
        )


def _until(stop: threading.Event, crew: Crew) -> None:
    """Wait for `stop`, or for a thread of the crew to fail, which raises its error here."""
    while not (stop.wait(0.2) or crew.stop.is_set()):
        pass
    crew.end()
    crew.join()

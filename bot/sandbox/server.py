"""Run a sandbox workspace on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from aiohttp import web

from bot.sandbox.control import Control
from bot.sandbox.delivery import Delivery
from bot.sandbox.driver import Driver
from bot.sandbox.guard import add_headers, guard
from bot.sandbox.methods.files import LARGEST_BYTES
from bot.sandbox.pages import Pages
from bot.sandbox.state import Clock, State
from bot.sandbox.values import (
    SAMPLE_CHANNELS,
    SAMPLE_GROUPS,
    SAMPLE_PEOPLE,
    Action,
    App,
    Channel,
    Group,
    Person,
    Seed,
    Team,
    TryThis,
    app_from_manifest,
)
from bot.sandbox.web_api import WebApi

ADDRESS = "127.0.0.1"
STOP_S = 10.0


class Sandbox:
    """A running workspace; stop it with `stop()` or leave the `with` block.

    Attributes:
        url: of the page, and of the driver.
        api_url: what `WebClient(base_url=…)` takes.
        bot_token, app_token, signing_secret: the app's credentials, new at every start.
    """

    def __init__(self, state: State, port: int) -> None:
        self._state = state
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self.bot_token = state.secrets.bot_token
        self.app_token = state.secrets.app_token
        self.signing_secret = state.secrets.signing_secret

    @classmethod
    def start(
        cls,
        port: int = 0,
        *,
        team: Team | None = None,
        people: Sequence[Person] | None = None,
        channels: Sequence[Channel] | None = None,
        groups: Sequence[Group] | None = None,
        app: App | None = None,
        manifest: Mapping[str, Any] | None = None,
        actions: Sequence[Action] = (),
        try_this: TryThis | None = None,
        request_url: str = "",
        rate_limits: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> Sandbox:
        """Start listening on 127.0.0.1; port 0 takes a free one. What is not given comes from the sample workspace.

        `manifest`, an app manifest, says which commands, scopes and events the app has. With `request_url` deliveries
        are signed HTTP requests instead of Socket Mode. `clock` gives UNIX seconds.

        Raises:
            OSError: the port is in use.
        """
        installed = app or (app_from_manifest(manifest) if manifest else App())
        seed = Seed(
            team or Team(),
            SAMPLE_PEOPLE if people is None else people,
            SAMPLE_CHANNELS if channels is None else channels,
            SAMPLE_GROUPS if groups is None else groups,
            installed,
        )
        state = State(
            seed,
            clock=Clock(clock) if clock else Clock(),
            rate_limits=rate_limits,
            actions=tuple(actions),
            try_this=try_this,
            request_url=request_url,
        )
        sandbox = cls(state, port)
        sandbox._begin()
        return sandbox

    @property
    def url(self) -> str:
        """Return the page's address, without a slash at the end."""
        return self._state.base_url

    @property
    def api_url(self) -> str:
        """Return the Web API's address, with a slash at the end."""
        return f"{self._state.base_url}/api/"

    @property
    def port(self) -> int:
        """Return the port listened on."""
        return self._port

    def driver(self) -> Driver:
        """Return hands and eyes for this workspace."""
        return Driver(self.url)

    def stop(self) -> None:
        """Close every connection and end the thread; idempotent."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended between the question and the call
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(STOP_S)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- in the thread -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._thread.start()
        self._started.wait()
        if self._failure:
            self._thread.join()
            raise self._failure

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001  carried to the thread that called start()
            self._failure = error
        finally:
            self._loop.close()
            self._started.set()

    async def _serve(self) -> None:
        delivery = Delivery(self._state)
        app = self._application(delivery)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, ADDRESS, self._port)
            await site.start()
            self._port = runner.addresses[0][1]
            self._state.base_url = f"http://{ADDRESS}:{self._port}"
            self._started.set()
            await self._stopping.wait()
        finally:
            await delivery.close()
            await runner.cleanup()

    def _application(self, delivery: Delivery) -> web.Application:
        middlewares = [guard(lambda: self._port, self._state.secrets.page_token)]
        app = web.Application(middlewares=middlewares, client_max_size=LARGEST_BYTES + 1024 * 1024)
        app.on_response_prepare.append(add_headers)
        WebApi(self._state).add_routes(app)
        Control(self._state, delivery).add_routes(app)
        Pages(self._state).add_routes(app)
        app.router.add_get("/link", delivery.sockets.serve)
        return app

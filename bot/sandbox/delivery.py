"""Deliver payloads to the app, by Socket Mode or signed HTTP, and wait for the acknowledgement; misbehave when asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine

from bot.sandbox import limits
from bot.sandbox.envelopes import Envelope
from bot.sandbox.signed_http import SignedHttp
from bot.sandbox.socket_mode import SocketMode
from bot.sandbox.state import State
from bot.sandbox.values import Json

KEPT = 20_000
HELD_AT_MOST_S = 2.0


class Delivery:
    """The way from the workspace to the app."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.sockets = SocketMode(state)
        self._http = SignedHttp(state)
        self.log: deque[Envelope] = deque(maxlen=KEPT)
        self._held: list[Envelope] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def interaction(self, kind: str, payload: Json, *, accepts_payload: bool) -> Envelope:
        """Deliver a command or an interaction; returns after the acknowledgement or after three seconds without one."""
        envelope = Envelope(kind, payload, accepts_payload)
        self.log.append(envelope)
        self._start(self._dispatch(envelope))
        await asyncio.wait([envelope.answer], timeout=limits.ACK_S)
        return envelope

    def event(self, payload: Json) -> Envelope:
        """Deliver an event, again after 0, 1 and 5 minutes while it is not acknowledged; returns at once."""
        envelope = Envelope("events_api", payload, accepts_payload=False)
        self.log.append(envelope)
        self._start(self._until_acked(envelope))
        return envelope

    async def _until_acked(self, envelope: Envelope) -> None:
        await self._attempt(envelope)
        for pause_s in limits.EVENT_RETRIES_S:
            if envelope.answer.done():
                return
            await asyncio.sleep(pause_s)
            envelope.attempt, envelope.reason = envelope.attempt + 1, "timeout"
            await self._attempt(envelope)

    async def _attempt(self, envelope: Envelope) -> None:
        self._start(self._dispatch(envelope))
        await asyncio.wait([envelope.answer], timeout=limits.ACK_S)

    async def _dispatch(self, envelope: Envelope) -> None:
        """Send with whatever faults are waiting."""
        faults = self._state.faults
        if faults.take("lose_envelope", envelope.kind):
            return
        if late := faults.take("late", envelope.kind):
            await asyncio.sleep(float(late["seconds"]))
        if faults.take("out_of_order", envelope.kind):
            self._held.append(envelope)
            await asyncio.sleep(HELD_AT_MOST_S)
            await self._release()
            return
        await self._send(envelope)
        if twice := faults.take("duplicate", envelope.kind):
            for _ in range(int(twice["copies"])):
                await asyncio.sleep(float(twice["after"]))
                await self._send(envelope)
        await self._release()

    async def _release(self) -> None:
        held, self._held = self._held[::-1], []
        for envelope in held:
            await self._send(envelope)

    async def _send(self, envelope: Envelope) -> None:
        if self._state.request_url:
            await self._http.send(envelope)
        else:
            await self.sockets.send(envelope)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End everything on its way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.sockets.close()
        await self._http.close()

"""Socket Mode: open sockets, one delivery to one of them, acknowledgements, refreshes.

Source: https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from bot.sandbox import limits
from bot.sandbox.envelopes import Envelope
from bot.sandbox.state import State
from bot.sandbox.values import Json

MEANWHILE_S = 0.02


@dataclass(slots=True, eq=False)
class Socket:
    """One connection; a retiring one still acknowledges but takes no deliveries."""

    wire: web.WebSocketResponse
    transport: asyncio.Transport | None
    retiring: bool = False
    pending: dict[str, Envelope] = field(default_factory=dict)


class SocketMode:
    """The connections of the app. Deliveries take turns among those that are not retiring."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._sockets: list[Socket] = []
        self._arrived = asyncio.Event()
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> list[Socket]:
        """Return the sockets that take deliveries."""
        return [socket for socket in self._sockets if not socket.retiring]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one WebSocket connection until it ends."""
        if not self._state.tickets.use_socket(request.query.get("ticket", "")) or self._state.faults.sockets_refused:
            return web.json_response({"ok": False, "error": "invalid_ticket"}, status=403)
        wire = web.WebSocketResponse(max_msg_size=1024 * 1024)
        await wire.prepare(request)
        socket = Socket(wire, request.transport)
        if len(self._sockets) >= limits.SOCKETS:
            await wire.send_str(json.dumps({"type": "disconnect", "reason": "too_many_websockets", "debug_info": {}}))
            await wire.close()
            return wire
        self._sockets.append(socket)
        try:
            await wire.send_str(json.dumps(self._hello()))
            self._noted()
            await self._listen(socket)
        finally:
            self._sockets.remove(socket)
            self._noted()
            self._resend(socket)
        return wire

    def _noted(self) -> None:
        if self.live:
            self._arrived.set()
        else:
            self._arrived.clear()
        self._state.workspace.changes.note("sockets", {"sockets": len(self.live)})

    def _hello(self) -> Json:
        debug = {"host": "sandbox", "build_number": 1, "approximate_connection_time": 3600}
        return {
            "type": "hello",
            "num_connections": len(self._sockets),
            "debug_info": debug,
            "connection_info": {"app_id": self._state.workspace.app.id},
        }

    async def _listen(self, socket: Socket) -> None:
        async for frame in socket.wire:
            if frame.type is not WSMsgType.TEXT:
                continue
            try:
                told = json.loads(frame.data)
            except ValueError:
                continue  # not ours to judge: Slack ignores what is no acknowledgement
            envelope = socket.pending.pop(told.get("envelope_id", ""), None) if isinstance(told, dict) else None
            if envelope and not self._state.faults.take("lose_ack", envelope.kind):
                envelope.acked(told.get("payload") or {})

    def _resend(self, closed: Socket) -> None:
        """Deliver again what a lost socket had not acknowledged."""
        for envelope in closed.pending.values():
            if not envelope.answer.done():
                envelope.attempt, envelope.reason = envelope.attempt + 1, "socket_closed"
                self._in_background(self.send(envelope))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send(self, envelope: Envelope) -> None:
        """Send to one socket; waits for one, at most as long as an acknowledgement may take."""
        try:
            async with asyncio.timeout(limits.ACK_S):
                while True:
                    await self._arrived.wait()
                    if await self._sent(envelope):
                        return
                    await asyncio.sleep(MEANWHILE_S)
        except TimeoutError:
            return  # the person is told by the acknowledgement's clock

    async def _sent(self, envelope: Envelope) -> bool:
        live = self.live
        if not live:
            return False
        self._turn += 1
        socket = live[self._turn % len(live)]
        socket.pending[envelope.envelope_id] = envelope
        envelope.sent()
        try:
            await socket.wire.send_str(json.dumps(envelope.frame()))
        except ConnectionError:
            socket.pending.pop(envelope.envelope_id, None)
            return False
        return True

    async def refresh(self, reason: str, linger_s: float) -> None:
        """Ask every socket to be replaced; `warning` keeps it in use until the real refresh ten seconds later."""
        told = {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}
        for socket in self.live:
            socket.retiring = reason != "warning"
            await socket.wire.send_str(json.dumps(told))
            if reason == "warning":
                self._in_background(self._refresh_later(linger_s))
            else:
                self._in_background(self._close_later(socket, linger_s))
        self._noted()

    async def _refresh_later(self, linger_s: float) -> None:
        await asyncio.sleep(limits.SOCKET_WARNING_S)
        await self.refresh("refresh_requested", linger_s)

    async def _close_later(self, socket: Socket, linger_s: float) -> None:
        await asyncio.sleep(linger_s)
        await socket.wire.close()

    async def drop(self) -> None:
        """Cut every connection without a word."""
        for socket in list(self._sockets):
            socket.retiring = True
            if socket.transport:
                socket.transport.abort()
        self._noted()

    async def close(self) -> None:
        """End everything."""
        for task in list(self._tasks):
            task.cancel()
        for socket in list(self._sockets):
            await socket.wire.close()

"""uvicorn's websockets, bounded in what a client that does not read can cost.

uvicorn 0.54 closes the transport of a client that answers no ping, was let go or said
goodbye, and asyncio then waits until the client has taken what was written to it. One
that never reads takes nothing: its connection would stay for as long as its machine
lives, with 64 KB here and up to 4 MB in the system's buffers (measured: 2.8 MB).
"""

import asyncio
import socket
import struct
from typing import cast

from chatbot.websocket_reading import BoundedWebSocketProtocol

# for the last frames and the close, once nobody here has anything more to say
FAREWELL_S = 2.0
# Linux takes twice as much; a reply is a few kilobytes
SEND_BUFFER_BYTES = 65536
# how long the system keeps what a client does not take, also after the close
UNTAKEN_MS = 30_000
# SO_LINGER: what is unsent is dropped at once
_AT_ONCE = struct.pack("ii", 1, 0)


class WebSocketProtocol(BoundedWebSocketProtocol):
    """One connection of uvicorn; two seconds after its end it is cut."""

    _cut: asyncio.TimerHandle | None = None
    _is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what the system keeps for this client."""
        own = transport.get_extra_info("socket")
        if own is not None and own.family in (socket.AF_INET, socket.AF_INET6):
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN_MS)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that there is nothing left to cut."""
        self._is_lost = True
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Let a client go that answers no ping."""
        super().keepalive_timeout()
        self._cut_soon()

    def shutdown(self) -> None:
        """Say that the server ends."""
        super().shutdown()
        self._cut_soon()

    async def run_asgi(self) -> None:
        """Run the consumer; the connection outlives it for a goodbye only."""
        try:
            await super().run_asgi()
        finally:
            self._cut_soon()

    def _cut_soon(self) -> None:
        if self._is_lost or self._cut is not None:
            return
        # a close of ours waits so long for the client's
        pause_s = self.close_timeout if self.close_timer is not None else 0.0
        self._cut = self.loop.call_later(pause_s + FAREWELL_S, self._abort)

    def _abort(self) -> None:
        own = cast("socket.socket | None", self.transport.get_extra_info("socket"))
        if own is not None:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

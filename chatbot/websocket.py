"""uvicorn's websockets, whose connections end when they are over.

uvicorn 0.54 closes the transport of a client that answers no ping, was let go or said
goodbye, and asyncio then waits until the client has taken what was written to it. One
that never reads takes nothing: its connection, and up to 64 KB of text, would stay
until TCP gives up, which it never does while the client's machine lives.
"""

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# for the last frames and the close, once nobody here has anything more to say
FAREWELL_S = 2.0


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection of uvicorn; two seconds after its end it is cut."""

    _cut: asyncio.TimerHandle | None = None
    _is_lost = False

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
        self._cut = self.loop.call_later(pause_s + FAREWELL_S, self.transport.abort)

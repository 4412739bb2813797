"""uvicorn's HTTP, with an end to the head of a request, in time and in bytes.

uvicorn 0.54 with httptools waits for ever for a head that does not end, and keeps all
of it: 100 MB of one header made a web process 152 MB larger (docs/measurements.md).
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_S = 20.0
HEAD_BYTES = 65536


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection of uvicorn; a head that is late or too long ends it."""

    _timer: asyncio.TimerHandle | None = None
    _num_head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came; a head that goes on and on is refused."""
        super().data_received(data)
        if self._timer is not None:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        """Begin with a request, and wait for the rest of its head."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Have the head; what follows is the business of the application."""
        self._end_wait()
        super().on_headers_complete()

    def _await_head(self) -> None:
        if self._timer is None:
            self._num_head_bytes = 0
            self._timer = self.loop.call_later(HEAD_S, self._give_up)

    def _end_wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._num_head_bytes:
            self._refuse(408)
        else:
            self.transport.close()  # opened ahead of need, as browsers do

    def _refuse(self, status: int) -> None:
        self._end_wait()
        self.transport.write(
            STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n"
        )
        self.transport.close()

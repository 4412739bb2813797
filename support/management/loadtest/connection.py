"""One socket of a visitor, from the handshake to the end."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.protocol import State
from websockets.typing import Origin

from support.management.loadtest.plan import Plan
from support.management.loadtest.screen import Frame
from support.management.loadtest.site import Refused

_OPEN_S = 10.0
_LONGER_PAUSE_S = 5.0
_REFUSALS = {
    4400: "The server speaks another version of the protocol.",
    4403: "The site refuses the origin {origin}: add it to the site's origins in the "
    "admin, or give --origin one of them.",
    4429: "Rate limited: the server takes no more sockets from this address. Raise "
    "SOCKETS_PER_ADDRESS on the server; {num_sockets} are needed here.",
}


class SocketLost(Exception):  # noqa: N818 - says what happened
    """The socket is gone or did not open; a client would try again.

    `code` is the server's close code, None where it sent none.
    """

    def __init__(self, kind: str, code: int | None = None) -> None:
        super().__init__(kind)
        self.code = code

    @property
    def least_pause_s(self) -> float:
        """Return how long a client waits at least; docs/protocol.md, section 6."""
        return _LONGER_PAUSE_S if self.code in (1013, 4408) else 0.0

    @property
    def needs_token(self) -> bool:
        """Return whether only another token opens a socket again."""
        return self.code == 4401


class Connection:
    """An open socket; leaving its context closes it."""

    def __init__(self, socket: ClientConnection, plan: Plan) -> None:
        self._socket = socket
        self._plan = plan

    @classmethod
    async def open(cls, plan: Plan) -> Self:
        """Return a socket that has not said hello; raises SocketLost."""
        try:
            socket = await connect(
                plan.socket_url,
                origin=Origin(plan.page_origin),
                compression=None,
                open_timeout=_OPEN_S,
                close_timeout=1,
                max_size=None,
            )
        except InvalidStatus as error:
            raise SocketLost(f"handshake {error.response.status_code}") from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise SocketLost("not connected") from error
        return cls(socket, plan)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def lost(self) -> str:
        """Return how the socket was lost, empty while it is open."""
        is_open = self._socket.state is State.OPEN
        return "" if is_open else f"closed {self._socket.close_code}"

    async def greet(
        self,
        token: str,
        position: Mapping[str, object],
        show: Callable[[Frame], object],
    ) -> None:
        """Say hello and show all of the replay; raises SocketLost, Refused."""
        hello = {"type": "hello", "protocol": 1, "token": token, **position}
        try:
            async with asyncio.timeout(_OPEN_S):
                await self.send(hello)
                kind = ""
                while kind != "replay_done":
                    frame, _ = await self.receive()
                    show(frame)
                    kind = frame["type"]
        except TimeoutError as error:
            raise SocketLost(f"no replay in {_OPEN_S:.0f} s") from error

    async def send(self, frame: Frame) -> None:
        """Send a frame; raises SocketLost, Refused."""
        try:
            await self._socket.send(json.dumps(frame))
        except ConnectionClosed as error:
            raise self._explain(error) from error

    async def receive(self) -> tuple[dict[str, Any], float]:
        """Return the next frame and when it came; raises SocketLost, Refused."""
        try:
            text = await self._socket.recv()
        except ConnectionClosed as error:
            raise self._explain(error) from error
        return json.loads(text), time.perf_counter()

    async def close(self) -> None:
        """Say goodbye."""
        await self._socket.close()

    def cut(self) -> None:
        """Lose the connection without a goodbye, as a train in a tunnel does."""
        self._socket.transport.abort()

    def _explain(self, error: ConnectionClosed) -> Exception:
        code = error.rcvd.code if error.rcvd else 1006
        if code in _REFUSALS:
            plan = self._plan
            # a conversation is read again on a second socket while the first is open
            num_sockets = plan.num_idle + 2 * plan.num_chats
            return Refused(
                _REFUSALS[code].format(origin=plan.page_origin, num_sockets=num_sockets)
            )
        return SocketLost(f"closed {code}", code)

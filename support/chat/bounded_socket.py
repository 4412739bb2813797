"""A websocket whose work ends with it, and whose client must read what it is sent."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from support.chat.frames import CloseCode

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 10.0


class BoundedSocket(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """What any socket here needs, whatever its frames mean.

    Work beside the frames is begun with `begin`; `leave` is called once at the end,
    however that comes.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.is_closed = False
        self._own_task: asyncio.Task[Any] | None = None
        self._is_ending = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the socket, and leave nothing behind however that ends.

        Channels calls `disconnect` only for a goodbye, not after an exception, and a
        tab that is closed while a frame is on its way is an exception.
        """
        self._own_task = asyncio.current_task()
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            if not self._is_ending:  # by `_let_go`
                raise
        finally:
            for task in self._tasks:
                task.remove_done_callback(self._let_go)
                task.cancel()
            await self.leave()

    async def disconnect(self, code: int) -> None:
        """Note that it ends by itself: a cancel would interrupt the layer in that."""
        self._is_ending = True

    async def leave(self) -> None:
        """Give back what the socket holds."""

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle a frame or an event on the event loop alone.

        Channels has old database connections closed before each, in the one thread
        that asks the database: every delta then waits for the queries of all sockets.
        `in_thread` gives them back itself, before and after its call.
        """
        handle = getattr(self, get_handler_name(message), None)
        if handle is None:
            raise ValueError(f"No handler for message type {message['type']}")
        await handle(message)

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the socket, once; nothing is heard or said after that."""
        if not self.is_closed:
            self.is_closed = True
            await super().close(code, reason)

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Return a task beside the frames; if it fails, the socket ends with it."""
        task = asyncio.create_task(work)
        self._tasks = [one for one in self._tasks if not one.done()] + [task]
        task.add_done_callback(self._let_go)
        return task

    def _let_go(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is None or self._is_ending or self._own_task is None:
            return
        if not isinstance(error, (StopConsumer, OSError)):  # it does not read, or left
            logger.error("a socket ends", exc_info=error)
        self._is_ending = True
        self._own_task.cancel()

    async def send_frame(self, frame: Mapping[str, object]) -> None:
        """Send a frame; a client that does not read for 10 s is let go."""
        if self.is_closed:
            return
        text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
        # not `wait_for`: on Python 3.11 it loses a cancel that comes as the send ends,
        # and the poll of a closed tab would go on
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self.send(text_data=text)
        except TimeoutError:
            # the close waits for the full buffer too, so it is not waited for long
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.close(CloseCode.SLOW)
            raise StopConsumer from None

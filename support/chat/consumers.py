"""The widget's socket: frames in become service calls, events out become frames.

Docs: docs/protocol.md. What a client has is its cursor; every path to the screen
goes through it, so nothing is sent twice or left out, however many events are lost.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import DatabaseError, OperationalError

from support.chat import events, frames, rate_limits, selectors, services, visitors
from support.chat.bounded_socket import BoundedSocket
from support.chat.cursor import Cursor, ShownReply
from support.chat.events import Frame
from support.chat.frames import CloseCode
from support.chat.sockets import CountedSocket
from support.chat.threads import in_thread
from support.chat.visitors import Claims

logger = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 5.0
POLL_INTERVAL_S = 1.0
_POLLS_BETWEEN_SUBSCRIPTIONS = 30
_MAX_REFUSED_FRAMES = 30


class WidgetConsumer(BoundedSocket):
    """One socket of one visitor."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._claims: Claims | None = None
        self._counted = CountedSocket()
        self._welcoming: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept; everything else waits for the hello."""
        events.use_loop(asyncio.get_running_loop())
        self._allowance = rate_limits.FrameAllowance()
        self._cursor = Cursor()
        self._greeting = asyncio.Lock()
        self._heard_s = 0.0
        self._sending = asyncio.Lock()
        self._address = rate_limits.address_key(self.scope.get("client"))
        await self.accept()
        key, limit = f"address:{self._address}", settings.SOCKETS_PER_ADDRESS
        if not await asyncio.to_thread(self._counted.take, key, limit):
            await self.close(CloseCode.TOO_MANY)
            return
        self.begin(self._await_hello())

    async def leave(self) -> None:
        """Leave the group; what the worker does goes on."""
        self._counted.give_back()
        if self._claims is not None:
            group = events.group_name(self._claims.conversation_id)
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> None:
        """Handle one frame; a bad one is answered by an error and harms nothing."""
        if self.is_closed:  # it was on its way, maybe in the same packet
            return
        try:
            self._allowance.check()
            await self._handle(frames.read_frame(text_data, settings.FRAME_BYTES))
        except frames.BadFrame as error:
            await self._refuse("bad_frame", str(error))
        except rate_limits.RateLimited as error:
            await self._refuse(
                "rate_limited", str(error), retry_after_ms=error.retry_after_ms
            )
            if self._allowance.num_refused > _MAX_REFUSED_FRAMES:
                await self.close(CloseCode.TOO_MANY)
        except frames.FrameTooBig as error:
            await self._refuse("too_big", str(error))
        except DatabaseError as error:
            await self._put_off(error)

    async def conversation_event(self, event: dict[str, Any]) -> None:
        """Pass on an event, if the client does not have it already."""
        self._heard_s = monotonic()
        try:
            async with self._sending:
                await self._forward(event["frame"])
        except (DatabaseError, ObjectDoesNotExist):
            logger.warning("an event is left to the next poll", exc_info=True)

    # Frames in

    async def _handle(self, frame: frames.ClientFrame) -> None:
        if self._welcoming is not None:
            await asyncio.wait([self._welcoming])
        if isinstance(frame, frames.Hello):
            # not awaited here: who leaves meanwhile is heard, and needs no answer
            self._welcoming = self.begin(self._welcome(frame))
        elif isinstance(frame, frames.Token):
            await self._renew(frame.token)
        elif isinstance(frame, frames.Ping):
            await self.send_frame({"type": "pong"})
        elif self._claims is None:
            await self.close(CloseCode.UNAUTHENTICATED)
        elif self._claims.is_expired:
            await self._refuse(
                "token_expired", "The token has expired; renew it.", frame
            )
        else:
            await self._act(frame, self._claims.conversation_id)

    async def _act(self, frame: frames.ClientFrame, conversation_id: UUID) -> None:
        """Do what an authenticated frame asks; errors become frames."""
        act: Callable[..., Awaitable[None]] = _ACTIONS[type(frame)]
        try:
            await act(self, frame, conversation_id)
        except services.ContentInvalid as error:
            await self._refuse(error.code, str(error), frame)
        except rate_limits.RateLimited as error:
            await self._refuse("rate_limited", str(error), frame, error.retry_after_ms)
        except ObjectDoesNotExist:
            await self._refuse("not_found", "There is no such thing here.", frame)
        except DatabaseError as error:
            await self._put_off(error, frame)

    async def _send_message(self, frame: frames.Send, conversation_id: UUID) -> None:
        accepted = await in_thread(services.post_message)(
            conversation_id, frame.content, frame.client_id, self._address
        )
        # from here on the poll looks after it, whatever becomes of the events
        self._cursor.expect(str(accepted.turn.id))
        await self.send_frame(
            {
                "type": "ack",
                "client_id": frame.client_id,
                "seq": accepted.message.seq,
                "message": str(accepted.message.id),
                "turn": str(accepted.turn.id),
            }
        )

    async def _stop(self, frame: frames.Stop, conversation_id: UUID) -> None:
        stop = in_thread(services.stop_reply)
        await stop(conversation_id, frame.turn, frame.attempt)

    async def _rate(self, frame: frames.Rate, conversation_id: UUID) -> None:
        rate = in_thread(services.rate_reply)
        await rate(conversation_id, frame.message, frame.rating)

    async def _hand_off(self, frame: frames.Handoff, conversation_id: UUID) -> None:
        await in_thread(services.request_handoff)(conversation_id)

    async def _show_history(self, frame: frames.History, conversation_id: UUID) -> None:
        read = in_thread(selectors.history_frame)
        await self.send_frame(await read(conversation_id, frame.before_seq))

    # Getting in

    async def _await_hello(self) -> None:
        await asyncio.sleep(HELLO_TIMEOUT_S)
        async with self._greeting:  # it came, and the database has much to do
            if self._claims is None:
                await self.close(CloseCode.UNAUTHENTICATED)

    async def _welcome(self, hello: frames.Hello) -> None:
        """Greet; a client that can be shown nothing now is to come back later."""
        try:
            async with self._greeting:
                await self._greet(hello)
        except DatabaseError as error:
            await self._put_off(error)
            await self.close(CloseCode.OVERLOADED)

    async def _greet(self, hello: frames.Hello) -> None:
        if hello.protocol != frames.PROTOCOL:
            await self.close(CloseCode.PROTOCOL)
            return
        claims = await self._authenticate(hello.token)
        if claims is None:
            return
        conversation_id = claims.conversation_id
        is_first = self._claims is None
        self._claims = claims
        if is_first:
            # subscribe, then read, then apply: nothing falls between
            await self._subscribe(conversation_id)
            self.begin(self._poll(conversation_id))
        async with self._sending:
            await self._replay(hello, conversation_id)

    async def _subscribe(self, conversation_id: UUID) -> None:
        group = events.group_name(conversation_id)
        await self.channel_layer.group_add(group, self.channel_name)

    async def _renew(self, token: str) -> None:
        claims = await self._authenticate(token)
        if claims is not None and self._claims is not None:
            self._claims = claims

    async def _authenticate(self, token: str) -> Claims | None:
        """Return what the token allows, or close the socket with the reason."""
        try:
            claims = visitors.read_token(token)
            site = await in_thread(visitors.check_session)(claims)
        except PermissionDenied:
            await self.close(CloseCode.UNAUTHENTICATED)
            return None
        headers = dict(self.scope["headers"])
        origin = headers.get(b"origin", b"").decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        if not visitors.is_allowed_origin(site, origin, host):
            await self.close(CloseCode.ORIGIN)
            return None
        if self._claims is not None:
            is_same = claims.conversation_id == self._claims.conversation_id
            if not is_same:
                await self.close(CloseCode.UNAUTHENTICATED)
            return claims if is_same else None
        key = f"conversation:{claims.conversation_id}"
        limit = settings.SOCKETS_PER_CONVERSATION
        if not await asyncio.to_thread(self._counted.take, key, limit):
            await self.close(CloseCode.TOO_MANY)
            return None
        return claims

    async def _replay(self, hello: frames.Hello, conversation_id: UUID) -> None:
        read = in_thread(selectors.read_progress)
        progress = await read(conversation_id, hello.last_seq)
        if hello.last_seq > progress.last_seq:  # from a future that did not happen
            progress = await read(conversation_id, 0)
        turn = str(hello.turn) if hello.turn else ""
        reply = ShownReply(turn, hello.attempt, hello.offset)
        self._cursor = Cursor(progress.status, reply)
        await self.send_frame(
            {
                "type": "welcome",
                "protocol": frames.PROTOCOL,
                "conversation": str(conversation_id),
                "status": progress.status,
                "last_seq": progress.last_seq,
                "has_more": progress.has_more,
                "limits": rate_limits.describe_limits(),
            }
        )
        await self._send_all(self._cursor.catch_up(progress))
        await self.send_frame({"type": "replay_done"})

    # Events out; whoever calls these holds `_sending`

    async def _forward(self, frame: Frame) -> None:
        sent = self._cursor.forward(frame)
        if sent is None:
            await self._catch_up()
        else:
            await self._send_all(sent)

    async def _poll(self, conversation_id: UUID) -> None:
        """Look after running turns: a lost event costs one interval, never text."""
        for number in itertools.count(1):
            await self._await_silence()
            with contextlib.suppress(DatabaseError, ObjectDoesNotExist):
                if number % _POLLS_BETWEEN_SUBSCRIPTIONS == 0:
                    # layers forget members after a day, or after one unread message
                    await self._subscribe(conversation_id)
                    is_behind = await self._is_behind(conversation_id)
                else:
                    is_behind = False
                if is_behind or self._cursor.has_open_turns:
                    async with self._sending:
                        await self._catch_up()

    async def _is_behind(self, conversation_id: UUID) -> bool:
        """Return whether an event was lost while nothing was going on here."""
        read = in_thread(selectors.read_last_seq)
        return await read(conversation_id) > self._cursor.seq

    async def _await_silence(self) -> None:
        """Wait an interval, and on while events come: an event shows what is lost.

        With 20 replies streaming, polls took 61 % of the time in which the database
        was asked anything (docs/measurements.md, the load test).
        """
        left_s = POLL_INTERVAL_S
        while left_s > 0:
            await asyncio.sleep(left_s)
            left_s = self._heard_s + POLL_INTERVAL_S - monotonic()

    async def _catch_up(self) -> None:
        if self._claims is None:
            return
        read = in_thread(selectors.read_progress)
        progress = await read(self._claims.conversation_id, self._cursor.seq)
        await self._send_all(self._cursor.catch_up(progress))

    async def _send_all(self, sent: list[Frame]) -> None:
        for frame in sent:
            await self.send_frame(frame)

    async def _refuse(
        self,
        code: str,
        message: str,
        frame: frames.ClientFrame | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        error: Frame = {"type": "error", "code": code, "message": message}
        if isinstance(frame, frames.Send):
            error["client_id"] = frame.client_id
        if retry_after_ms is not None:
            error["retry_after_ms"] = retry_after_ms
        await self.send_frame(error)

    async def _put_off(
        self, error: DatabaseError, frame: frames.ClientFrame | None = None
    ) -> None:
        """Say that this cannot be done now; a database that is away needs no trace."""
        is_gone = isinstance(error, OperationalError)
        logger.error("a frame is put off: %s", error, exc_info=not is_gone)
        await self._refuse("unavailable", "Try again in a moment.", frame)


_ACTIONS: dict[type, Callable[..., Awaitable[None]]] = {
    frames.Send: WidgetConsumer._send_message,
    frames.Stop: WidgetConsumer._stop,
    frames.Rate: WidgetConsumer._rate,
    frames.Handoff: WidgetConsumer._hand_off,
    frames.History: WidgetConsumer._show_history,
}

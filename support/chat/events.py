"""What a widget can receive, and the one way to publish it.

Events are server frames of the wire protocol (docs/protocol.md), sent to everybody
who looks at a conversation. They are at most once: whoever misses one reads the
database or the reply buffer.
"""

import asyncio
import contextlib
import logging
from concurrent.futures import Future
from typing import Any
from uuid import UUID

from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings

from inference.redis_link import RedisGone, link_to
from support.chat.rendering import render_html
from support.models import Message, Role, Turn, TurnState

logger = logging.getLogger(__name__)

Frame = dict[str, object]

_EVENT = "conversation.event"


def group_name(conversation_id: UUID) -> str:
    """Return the channel group of everybody who looks at a conversation."""
    return f"conversation.{conversation_id.hex}"


def describe_message(message: Message, turn: Turn | None = None) -> Frame:
    """Return the protocol's message object.

    `turn` is the one that the message asks or answers; a reply carries its outcome,
    so that it looks the same whichever frame brings it. One query for the citations
    of a reply unless `used_passages` is prefetched.
    """
    answered = turn if message.role == Role.ASSISTANT else None
    return {
        "id": str(message.id),
        "seq": message.seq,
        "role": message.role,
        "content": message.content,
        "html": render_html(message),
        "created_at": message.created_at.isoformat(),
        "client_id": message.client_id,
        "turn": str(turn.id) if turn else None,
        "notice": message.notice or None,
        "state": answered.state if answered else None,
        "citations": _describe_citations(answered) if answered else [],
        "rating": message.rating,
    }


def _describe_citations(turn: Turn) -> list[dict[str, str]]:
    return [
        {"title": used.title, "url": used.url, "heading": used.heading}
        for used in turn.used_passages.all()
        if used.is_cited
    ]


def message_stored(message: Message, turn: Turn | None = None) -> Frame:
    """Return the event of a stored message."""
    return {"type": "message", "message": describe_message(message, turn)}


def turn_changed(turn: Turn, question_seq: int) -> Frame:
    """Return the event of a turn that is queued or running."""
    return {
        "type": "turn",
        "turn": str(turn.id),
        "question_seq": question_seq,
        "state": turn.state,
        "attempt": turn.attempt,
    }


def text_arrived(turn_id: UUID, attempt: int, offset: int, text: str) -> Frame:
    """Return the event of new reply text; `offset` counts code points."""
    return {
        "type": "delta",
        "turn": str(turn_id),
        "attempt": attempt,
        "offset": offset,
        "text": text,
    }


def reply_reset(turn_id: UUID, attempt: int) -> Frame:
    """Return the event of a reply that begins again as `attempt`."""
    return {"type": "reset", "turn": str(turn_id), "attempt": attempt}


def turn_finished(turn: Turn, reply: Message) -> Frame:
    """Return the event of a turn's one outcome, which carries the whole reply."""
    if turn.state in (TurnState.QUEUED, TurnState.RUNNING):
        raise ValueError(f"{turn} is not finished")
    return {
        "type": "done",
        "turn": str(turn.id),
        "attempt": turn.attempt,
        "state": turn.state,
        "message": describe_message(reply, turn),
    }


def status_changed(status: str) -> Frame:
    """Return the event of a conversation that changed hands."""
    return {"type": "status", "status": status}


def reply_rated(message: Message) -> Frame:
    """Return the event of a rating."""
    return {"type": "rated", "message": str(message.id), "rating": message.rating}


class _Publisher:
    """Sends frames from any thread, without waiting for anybody to receive them.

    The in-memory layer wakes a waiting consumer only from the consumer's own loop:
    from another one a frame waits 50 to 500 ms (measured). On Redis a frame is one
    PUBLISH on a connection that is kept, as the layer does it itself; by way of
    `async_to_sync(group_send)` every frame would open a connection.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Publish on the server's loop when the layer lives in it."""
        if isinstance(get_channel_layer(), InMemoryChannelLayer):
            self._loop = loop

    def publish(self, conversation_id: UUID, frame: Frame) -> None:
        """Send a frame; nobody listening, or no Redis, is not an error."""
        news = as_news(conversation_id, frame)
        if news is not None:
            link = link_to(settings.CHANNEL_LAYER_URL)
            with contextlib.suppress(RedisGone):
                link.ask(lambda: link.client.publish(*news))
            return
        layer = get_channel_layer()
        group = group_name(conversation_id)
        event = {"type": _EVENT, "frame": frame}
        if layer is not None and self._loop is not None and self._loop.is_running():
            sending = layer.group_send(group, event)
            try:
                future = asyncio.run_coroutine_threadsafe(sending, self._loop)
            except RuntimeError:  # the loop was closed: the server is going down
                sending.close()
                return
            future.add_done_callback(_log_failure)


def as_news(conversation_id: UUID, frame: Frame) -> tuple[str, bytes] | None:
    """Return the channel of Redis and the message that publish a frame.

    None where events stay in memory. The names are those of the pub/sub layer.
    """
    layer = get_channel_layer()
    if not isinstance(layer, RedisPubSubChannelLayer):
        return None
    message: bytes = layer.serialize({"type": _EVENT, "frame": frame})
    return f"asgi__group__{group_name(conversation_id)}", message


def _log_failure(future: "Future[Any]") -> None:
    if not future.cancelled() and future.exception() is not None:
        logger.warning("event not published: %s", future.exception())


_publisher = _Publisher()
publish = _publisher.publish
use_loop = _publisher.use_loop

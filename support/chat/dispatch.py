"""Which workers get a turn's job: a hint, as the worker that takes it decides anew."""

import logging
import time
from datetime import timedelta

from django.db import DatabaseError
from django.utils import timezone

from inference import routes
from inference.models import Queue
from inference.routing.plan import Asker
from support.models import Conversation, QueuePulse

logger = logging.getLogger(__name__)

# workers say every other second that they take jobs, or could take no more
_LIVE = timedelta(seconds=12)
_LOOK_S = 1.0

_live: tuple[float, frozenset[str]] = (float("-inf"), frozenset())


def build_asker(conversation: Conversation) -> Asker:
    """Return what routing is told of a conversation."""
    return Asker(
        conversation=str(conversation.pk),
        visitor=str(conversation.visitor_id),
        pinned=conversation.backend,
        is_private=conversation.is_private,
    )


def read_live_queues() -> frozenset[str]:
    """Return the queues whose workers took jobs of late. One query a second at most."""
    global _live
    until_s, queues = _live
    if time.monotonic() > until_s:
        queues = frozenset(_find_live())
        _live = (time.monotonic() + _LOOK_S, queues)
    return queues


def forget_live_queues() -> None:
    """Look anew the next time."""
    global _live
    _live = (float("-inf"), frozenset())


def is_live(queue: str) -> bool:
    """Return whether a queue's workers took jobs of late."""
    return queue in read_live_queues()


def choose_queue(conversation: Conversation) -> str:
    """Return the queue for a conversation's job. No query most times, at most four.

    Without a database it is that of the models: the reaper asks again.
    """
    try:
        return routes.first_queue(build_asker(conversation), read_live_queues())
    except DatabaseError:
        logger.exception("conversation=%s the queue is guessed", conversation.pk)
        return Queue.LOCAL


def _find_live() -> set[str]:
    since = timezone.now() - _LIVE
    return {
        pulse.queue
        for pulse in QueuePulse.objects.all()
        if any(at and at > since for at in (pulse.took_at, pulse.full_at))
    }

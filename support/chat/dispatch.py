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

_live: tuple[float, frozenset[str]] = (float("-inf"), frozenset())


def build_asker(conversation: Conversation) -> Asker:
    """Return what routing is told of a conversation."""
    return Asker(
        conversation=str(conversation.pk),
        visitor=str(conversation.visitor_id),
        pinned=conversation.backend,
        is_private=conversation.is_private,
    )


def read_live_queues(age_s: float = routes.OUTLOOK_S) -> frozenset[str]:
    """Return the queues whose workers took jobs of late, as known `age_s` ago.

    One query, none if a look was had since.
    """
    global _live
    read_s, queues = _live
    if time.monotonic() - read_s > age_s:
        queues = frozenset(_find_live())
        _live = (time.monotonic(), queues)
    return queues


def forget_live_queues() -> None:
    """Look anew the next time."""
    global _live
    _live = (float("-inf"), frozenset())


def is_live(queue: str) -> bool:
    """Return whether a queue's workers took jobs of late."""
    return queue in read_live_queues()


def choose_queue(conversation: Conversation) -> str:
    """Return the queue for a conversation's job.

    No query if `look_around` had a look in the last ten seconds, else three. Without a
    database it is that of the models: the reaper asks again.
    """
    try:
        live = read_live_queues(routes.STALE_S)
        return routes.first_queue(build_asker(conversation), live)
    except DatabaseError:
        logger.exception("conversation=%s the queue is guessed", conversation.pk)
        return Queue.LOCAL


def look_around() -> None:
    """Look for `choose_queue` how things are, so that no job waits for that.

    Three queries a second at most. Without a database it stays as it was.
    """
    try:
        read_live_queues()
        routes.look_around()
    except DatabaseError:
        logger.exception("the queues are not known")


def _find_live() -> set[str]:
    since = timezone.now() - _LIVE
    return {
        pulse.queue
        for pulse in QueuePulse.objects.all()
        if any(at and at > since for at in (pulse.took_at, pulse.full_at))
    }

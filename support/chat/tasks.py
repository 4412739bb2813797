"""The chat's Celery tasks: an id in, one call."""

import logging
from uuid import UUID

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from support.chat import answering
from support.models import Turn

logger = logging.getLogger(__name__)


@shared_task
def answer_turn(turn_id: str) -> None:
    """Answer a turn, then queue the conversation's next one."""
    next_turn_id = answering.produce(UUID(turn_id))
    if next_turn_id is not None:
        queue_turn(next_turn_id)


def queue_turn(turn_id: UUID) -> None:
    """Publish the job that answers a turn.

    The job is a doorbell and may be lost: the reaper rings again. So it is sent
    without retries, and a broker that is down is not an error of the caller.
    """
    Turn.objects.filter(pk=turn_id).update(published_at=timezone.now())
    try:
        answer_turn.apply_async((str(turn_id),), retry=False)
    except OperationalError as error:
        logger.warning("turn=%s not queued, the reaper will: %s", turn_id, error)

"""Monitoring's Celery task: the canary, a job that only says that it was taken."""

import logging
from datetime import datetime

from celery import shared_task
from django.db import DatabaseError
from django.utils import timezone

from support.models import QueuePulse

logger = logging.getLogger(__name__)


@shared_task
def take_canary(queue: str) -> None:
    """Note that a worker takes the queue's jobs."""
    try:
        store_pulse(queue, took_at=timezone.now())
    except DatabaseError as error:
        logger.warning("queue=%s the pulse could not be stored: %s", queue, error)


def store_pulse(queue: str, **times: datetime) -> None:
    """Write a time of the queue's row, which is made if it is not there. One query."""
    QueuePulse.objects.bulk_create(
        [QueuePulse(queue=queue, **times)],
        update_conflicts=True,
        update_fields=list(times),
        unique_fields=["queue"],
    )

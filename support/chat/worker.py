"""What runs in every worker beside its tasks: the reaper, and loaded backends."""

import logging

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.db import DatabaseError

from inference import registry
from support.chat.reaper import Reaper
from support.chat.watch import watch

logger = logging.getLogger(__name__)

_reapers: list[Reaper] = []


@worker_ready.connect
def start(**_: object) -> None:
    """Start the reaper and load the models before the first task."""
    watch.stay()
    reaper = Reaper()
    _reapers.append(reaper)
    reaper.start()
    try:
        registry.warm_up()
    except DatabaseError:
        logger.exception("the backends could not be loaded; each reply will try again")


@worker_shutting_down.connect
def hand_over(**_: object) -> None:
    """Put the replies in progress back into the queue, for another process."""
    watch.leave()


@worker_shutdown.connect
def stop(**_: object) -> None:
    """Stop the reaper and the engines."""
    while _reapers:
        _reapers.pop().stop()
    registry.close()

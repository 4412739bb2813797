"""What runs in every worker beside its tasks: the reaper, and loaded backends."""

import logging

from celery.signals import worker_ready, worker_shutdown
from django.db import DatabaseError

from inference import registry
from support.chat.reaper import Reaper

logger = logging.getLogger(__name__)

_reapers: list[Reaper] = []


@worker_ready.connect
def start(**_: object) -> None:
    """Start the reaper and load the models before the first task."""
    reaper = Reaper()
    _reapers.append(reaper)
    reaper.start()
    try:
        registry.warm_up()
    except (DatabaseError, ValueError):
        logger.exception("the backends could not be loaded; each reply will try again")


@worker_shutdown.connect
def stop(**_: object) -> None:
    """Stop the reaper and the engines."""
    while _reapers:
        _reapers.pop().stop()
    registry.close()

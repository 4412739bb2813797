"""What runs in every worker beside its tasks: the reaper, and loaded backends."""

import logging
import threading
from pathlib import Path
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError

from inference import registry
from inference.models import Queue
from support.chat.reaper import Reaper
from support.chat.tasks import doorbell
from support.chat.watch import watch

logger = logging.getLogger(__name__)

# how the worker inside the web process ends
EMBEDDED = "embedded"

_reapers: list[Reaper] = []


@worker_ready.connect
def start(sender: Any, **_: object) -> None:
    """Start the reaper and load the models before the first task."""
    watch.stay()
    queues = sender.app.amqp.queues.consume_from
    registry.registry.loads_models = Queue.LOCAL in queues
    reaper = Reaper()
    _reapers.append(reaper)
    reaper.start()
    try:
        registry.warm_up()
    except DatabaseError:
        logger.exception("the backends could not be loaded; each reply will try again")
    if settings.ALIVE_PATH:
        Path(settings.ALIVE_PATH).touch()  # from now on the reaper does
    logger.info("worker ready queues=%s", ",".join(sorted(queues)))


@worker_shutting_down.connect
def hand_over(how: str, **_: object) -> None:
    """Let replies finish for a while, then put them back for another process.

    Not so in the web process, which somebody has stopped with Ctrl-C. Called within a
    signal handler: it may take no lock.
    """
    grace_s = 0.0 if how == EMBEDDED else settings.SHUTDOWN_GRACE_S
    timer = threading.Timer(grace_s, watch.leave)
    timer.daemon = True
    timer.start()


@worker_shutdown.connect
def stop(**_: object) -> None:
    """Stop the reaper and the engines; ring for what was handed over."""
    while _reapers:
        _reapers.pop().stop()
    doorbell.wait()
    registry.close()

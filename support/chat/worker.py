"""What runs in every worker beside its tasks: reaper, loaded backends, warmth."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError

from inference import registry
from support.chat.fire_drills import NightlyDrills
from support.chat.reaper import Reaper
from support.chat.spill_watch import SpillWatch
from support.chat.tasks import doorbell, queue_turn
from support.chat.trials import Trials
from support.chat.warmth import Warmth, read_openings
from support.chat.watch import watch
from support.chat.worker_thread import WorkerThread
from support.knowledge import retrieval

logger = logging.getLogger(__name__)

# after the grace for replies: what has not ended by then hangs
_HAND_OVER_S = 3.0
# how the worker inside the web process ends
EMBEDDED = "embedded"

_helpers: list[WorkerThread] = []


@worker_ready.connect
def start(sender: Any, **_: object) -> None:
    """Start the reaper; load models and articles before the first task."""
    watch.stay()
    queues = sender.app.amqp.queues.consume_from
    registry.registry.queues = frozenset(queues)
    _start_helper(Reaper())
    try:
        registry.warm_up(read_openings())
        retrieval.warm_up()
    except DatabaseError:
        logger.exception("not everything could be loaded; each reply will try again")
    if registry.registry.loads_models:
        _start_helper(Warmth())
        _start_helper(SpillWatch())
    _start_helper(Trials())
    _start_helper(NightlyDrills())
    if settings.ALIVE_PATH:
        Path(settings.ALIVE_PATH).touch()  # from now on the reaper does
    logger.info("worker ready queues=%s", ",".join(sorted(queues)))


def _start_helper(helper: WorkerThread) -> None:
    _helpers.append(helper)
    helper.start()


@worker_shutting_down.connect
def hand_over(how: str, **_: object) -> None:
    """Let replies finish for a while, then put them back for another process.

    Not so in the web process, which somebody has stopped with Ctrl-C. Called within a
    signal handler: it may take no lock.
    """
    grace_s = 0.0 if how == EMBEDDED else settings.SHUTDOWN_GRACE_S
    _call_later(grace_s, watch.leave)
    if how != EMBEDDED:
        _call_later(grace_s + _HAND_OVER_S, _end_now)


def _call_later(seconds: float, function: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()


def _end_now() -> None:
    """End this process though a thread hangs, for which Celery would wait for ever."""
    try:
        for turn in watch.give_back():
            logger.error("turn=%s hangs and is handed over", turn.id)
            queue_turn(turn.id)
        doorbell.wait(1.0)
        registry.close()
    finally:
        os._exit(1)


@worker_shutdown.connect
def stop(**_: object) -> None:
    """Stop the threads and the engines; ring for what was handed over."""
    while _helpers:
        _helpers.pop().stop()
    doorbell.wait()
    registry.close()

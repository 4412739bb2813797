"""What monitoring runs in workers: pulse, engines' reports, metrics, the sweep."""

from typing import Any

from celery.signals import worker_ready, worker_shutdown
from celery.worker import state

from support.chat.worker_thread import WorkerThread
from support.monitoring import metrics
from support.monitoring.engines import EngineReporter
from support.monitoring.pulse import Pulse
from support.monitoring.spending import Sweeper

_threads: list[WorkerThread] = []


@worker_ready.connect
def start(sender: Any, **_: object) -> None:
    """Start the threads; `sender` is the worker's consumer."""
    metrics.watch_calls()
    pulse = Pulse(
        list(sender.app.amqp.queues.consume_from),
        lambda: len(state.active_requests) >= sender.pool.num_processes,
    )
    for thread in (pulse, EngineReporter(), Sweeper()):
        _threads.append(thread)
        thread.start()


@worker_shutdown.connect
def stop(**_: object) -> None:
    """Stop all."""
    while _threads:
        _threads.pop().stop()

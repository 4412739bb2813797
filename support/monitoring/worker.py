"""What monitoring runs in every worker: the pulse of its queues; metrics of calls."""

from typing import Any

from celery.signals import worker_ready, worker_shutdown
from celery.worker import state

from support.monitoring import metrics
from support.monitoring.pulse import Pulse

_pulses: list[Pulse] = []


@worker_ready.connect
def start(sender: Any, **_: object) -> None:
    """Start to send canaries; `sender` is the worker's consumer."""
    metrics.watch_calls()
    pulse = Pulse(
        list(sender.app.amqp.queues.consume_from),
        lambda: len(state.active_requests) >= sender.pool.num_processes,
    )
    _pulses.append(pulse)
    pulse.start()


@worker_shutdown.connect
def stop(**_: object) -> None:
    """Stop the canaries."""
    while _pulses:
        _pulses.pop().stop()

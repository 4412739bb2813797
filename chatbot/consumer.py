"""A worker's connection to the broker, which must outlive the broker."""

from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer


class Consumer(CeleryConsumer):  # type: ignore[misc]  # celery has no types
    """Celery's, but whatever goes wrong with Redis, it connects again.

    Celery 5.7 ends the worker, and the replies in it, in three cases that cost no more
    than a new connection (tests/system/test_stack_redis.py and tests/faults have them):

    - a job is not acknowledged when Redis goes away: the connection is then closed in
      two steps, and in the second kombu wants to give the job back over what the first
      has taken apart (AttributeError)
    - a job of a lost connection is acknowledged a moment later (AttributeError)
    - Redis becomes a replica, as in a failover, or is full (ResponseError)
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # for which it connects again; more often than once a second it waits a second
        self.connection_errors = (Exception,)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Forget the jobs of the lost connection; the reaper knows them all."""
        channels = (
            getattr(self.task_consumer, "channel", None),
            getattr(self.connection, "_default_channel", None),
        )
        for channel in channels:
            if channel is not None:
                channel.do_restore = False
        super().on_connection_error_after_connected(exc)

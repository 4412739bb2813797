"""A worker's connection to the broker, which must outlive the broker."""

from celery.worker.consumer import Consumer as CeleryConsumer


class Consumer(CeleryConsumer):  # type: ignore[misc]  # celery has no types
    """Celery's, but for a job that is not acknowledged when Redis goes away.

    Celery 5.7 then closes the connection in two steps, and in the second kombu wants
    to give the job back over what the first has taken apart: an AttributeError, after
    which the worker ends. Without this class a Redis that is killed while a job waits
    ends every worker (tests/system/test_stack.py).
    """

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

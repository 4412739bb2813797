"""Embedded mode's worker: a real Celery worker in a thread of the web process.

Its broker is in memory too. A job that dies with the process is found by the reaper
of the next one.
"""

import threading

from celery import signals
from celery.worker import WorkController
from django.conf import settings

from chatbot.celery import app


class EmbeddedWorker(WorkController):  # type: ignore[misc]  # celery has no types
    """A worker without the command line's signal handlers and banner."""

    def on_consumer_ready(self, consumer: object) -> None:
        """Tell the rest of the worker to start, as the command line's worker does."""
        signals.worker_ready.send(sender=consumer)


_worker: EmbeddedWorker | None = None


def start_worker() -> None:
    """Start the embedded worker in a thread; the second call does nothing."""
    global _worker
    if _worker is not None:
        return
    # else pool threads fall back to another app: tasks are received and never run
    app.set_default()
    _worker = EmbeddedWorker(
        app=app,
        pool="threads",
        concurrency=settings.WORKER_THREADS,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    threading.Thread(target=_worker.start, name="embedded-worker", daemon=True).start()


def stop_worker() -> None:
    """Stop the embedded worker, waiting for the tasks that run; about 1.5 s."""
    global _worker
    if _worker is not None:
        signals.worker_shutting_down.send(sender=_worker, how="embedded")
        _worker.stop()
        _worker = None

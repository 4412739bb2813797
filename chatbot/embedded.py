"""Embedded mode: web server, Celery worker and engine behind one command.

`python -m chatbot.embedded` serves one port. The worker is a real Celery worker on
an in-memory broker, in a thread of the web process; the model runs in a child
process that the worker starts.
"""

import logging
import os
import threading

import uvicorn
from celery.worker import WorkController

from chatbot.celery import app

logger = logging.getLogger(__name__)

_worker: WorkController | None = None


def start_worker() -> None:
    """Start the embedded worker in a thread; the second call does nothing."""
    global _worker
    if _worker is not None:
        return
    # else pool threads fall back to another app: tasks are received and never run
    app.set_default()
    _worker = app.WorkController(
        pool="threads",
        concurrency=app.conf.worker_threads,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    threading.Thread(target=_worker.start, name="embedded-worker", daemon=True).start()


def stop_worker() -> None:
    """Stop the embedded worker, waiting for the tasks that run; about 1.5 s."""
    global _worker
    if _worker is not None:
        _worker.stop()
        _worker = None

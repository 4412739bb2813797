"""Threads of a worker that do the same again and again, until it stops."""

import logging
import threading
from abc import ABC, abstractmethod

from django.db import close_old_connections, connection

logger = logging.getLogger(__name__)


class WorkerThread(ABC):
    """A daemon thread that calls `do_round` every `interval_s`; subclasses have both.

    The first comes at once if it `begins_at_once`. A round that fails is logged with
    `complaint`, and the next one is the remedy.
    """

    begins_at_once = False
    name = ""
    complaint = ""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @property
    @abstractmethod
    def interval_s(self) -> float:
        """Return how long to wait before each round."""

    @abstractmethod
    def do_round(self) -> None:
        """Do what the thread is for, once."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        if self.begins_at_once:
            self._try_round()
        while not self._stopping.wait(self.interval_s):
            self._try_round()
        connection.close()

    def _try_round(self) -> None:
        try:
            self.do_round()
        except Exception as error:
            # the edge of a thread
            logger.warning("%s: %s", self.complaint, error)
        finally:
            close_old_connections()

"""Waits for a database that is away, where giving up would waste a whole reply."""

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PATIENCE_S = 60.0
_PAUSE_S = 0.5
GONE = (OperationalError, InterfaceError)


class Patience:
    """How long workers wait for the database: a minute, or until they have to end."""

    def __init__(self) -> None:
        self._is_ending = threading.Event()

    def end(self) -> None:
        """Wait no more, because this process ends; called within a signal's thread."""
        self._is_ending.set()

    def begin(self) -> None:
        """Wait again, after `end`."""
        self._is_ending.clear()

    def outlast(self, action: Callable[[], Result]) -> Result:
        """Return what `action` does, tried again and again while the database is away.

        It must bear that: a commit whose answer was lost is done. Not within a
        transaction. Raises the database's error when the patience is over.
        """
        until_s = monotonic() + PATIENCE_S
        while True:
            try:
                return action()
            except GONE as error:
                close_old_connections()
                if monotonic() > until_s or self._is_ending.wait(_PAUSE_S):
                    raise
                logger.warning("waiting for the database: %s", str(error).strip())


patience = Patience()
outlast = patience.outlast

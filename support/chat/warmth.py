"""Keeps in the engines' caches what conversations begin with: the system prompts."""

import logging
import threading

from django.db import close_old_connections, connection

from inference import registry
from inference.types import ChatMessage
from support.chat import prompts
from support.models import SystemPrompt

logger = logging.getLogger(__name__)

# How soon after a change of a system prompt the engines read the new one.
LOOK_S = 5.0
_MAX_PROMPTS = 8


def read_openings() -> list[tuple[ChatMessage, ...]]:
    """Return how the conversations of each site begin, of eight sites. One query."""
    active = SystemPrompt.objects.filter(is_active=True).order_by("site_id")
    texts = active.values_list("content", flat=True)[:_MAX_PROMPTS]
    return [opening for text in texts for opening in prompts.build_openings(text)]


class Warmth:
    """The thread of a worker that notices when a system prompt was changed."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warmth", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                registry.warm(read_openings())
            except Exception as error:
                # the edge of a thread; prompts are read at the next look, or when used
                logger.warning("the engines could not be warmed: %s", error)
            finally:
                close_old_connections()
        connection.close()

"""Keeps in the engines' caches what conversations begin with: the system prompts."""

from inference import registry
from inference.types import ChatMessage
from support.chat import prompts
from support.chat.worker_thread import WorkerThread
from support.models import SystemPrompt

# How soon after a change of a system prompt the engines read the new one.
LOOK_S = 5.0
_MAX_PROMPTS = 8


def read_openings() -> list[tuple[ChatMessage, ...]]:
    """Return how the conversations of each site begin, of eight sites. One query."""
    active = SystemPrompt.objects.filter(is_active=True).order_by("site_id")
    texts = active.values_list("content", flat=True)[:_MAX_PROMPTS]
    return [opening for text in texts for opening in prompts.build_openings(text)]


class Warmth(WorkerThread):
    """The thread of a worker that notices when a system prompt was changed."""

    name = "warmth"
    complaint = "the engines could not be warmed"

    @property
    def interval_s(self) -> float:
        """Return how long to wait before each look."""
        return LOOK_S

    def do_round(self) -> None:
        """Tell the engines what conversations begin with."""
        registry.warm(read_openings())

"""What is known of a request and of each backend before one is chosen."""

from dataclasses import dataclass

from inference.backends.base import Backend
from inference.types import Deadlines


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose request it is, in words that say nothing of the person.

    `pinned` names the backend that wrote the conversation's last reply, empty before
    the first. What is private must not leave the house.
    """

    conversation: str = ""
    visitor: str = ""
    pinned: str = ""
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend that may be asked, and what the operator says of it.

    Those at the same `position` share new conversations by `weight`. While its first
    token is foreseen to come after `target_ttft_s` the next one is asked instead.
    `host` is where it computes, empty for here.
    """

    backend: Backend
    deadlines: Deadlines
    leaves_house: bool = False
    host: str = ""
    region: str = ""
    position: int = 0
    weight: int = 1
    target_ttft_s: float | None = None

    @property
    def name(self) -> str:
        """Return the backend's name."""
        return self.backend.name

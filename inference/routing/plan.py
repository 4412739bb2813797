"""What is known of a request and of each backend before one is chosen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from inference.backends.base import Backend
from inference.routing.words import Trace
from inference.types import (
    AttemptReport,
    CancelToken,
    CompletionRequest,
    Deadlines,
)

OnAttempt = Callable[[AttemptReport], None]


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


class Option(Protocol):
    """What the order goes by; a `Candidate` has it, and so has a backend's row."""

    @property
    def name(self) -> str:
        """The backend's name."""

    @property
    def leaves_house(self) -> bool:
        """Whether a call brings what visitors write out of the house."""

    @property
    def position(self) -> int:
        """The operator's order, the lowest first."""

    @property
    def weight(self) -> int:
        """The share of those at the same position."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend that may be asked, and what the operator says of it.

    Those at the same `position` share new conversations by `weight`. While its first
    token is foreseen to come after `target_ttft_s` the next one is asked instead.
    `host` is where it computes, empty for here. `version` tells its settings from
    those before. `elsewhere` names the queue of its own workers, which take over what
    is spilled; empty if this worker is one of them.
    """

    backend: Backend
    deadlines: Deadlines
    leaves_house: bool = False
    host: str = ""
    region: str = ""
    position: int = 0
    weight: int = 1
    target_ttft_s: float | None = None
    version: str = ""
    elsewhere: str = ""

    @property
    def name(self) -> str:
        """Return the backend's name."""
        return self.backend.name


@dataclass(frozen=True, slots=True)
class Earlier:
    """The calls that earlier workers made for the same turn.

    `num_failed` counts those that failed, by backend; `asked` are all that were called.
    """

    num_calls: int = 0
    num_failed: Mapping[str, int] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A backend that would have been asked, had it not been busy for the moment.

    With `is_spill` its reply was foreseen to come late.
    """

    name: str
    is_spill: bool = False


def _never(queue: str) -> bool:
    return False


def _ignore(report: AttemptReport) -> None:
    return


@dataclass(frozen=True, slots=True)
class Errand:
    """A request on its way through the backends.

    `on_attempt` gets each call's report exactly once, on the caller's thread. `trace`
    collects the decisions. `can_hand_over` says whether the workers of a queue would
    take the request.
    """

    request: CompletionRequest
    cancel: CancelToken
    on_attempt: OnAttempt = _ignore
    asker: Asker = Asker()
    trace: Trace = field(default_factory=Trace)
    earlier: Earlier = Earlier()
    can_hand_over: Callable[[str], bool] = _never

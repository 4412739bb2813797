"""The contract between the router and whatever can write a reply.

A backend is one model behind one API. Its `stream` is a generator that

1. yields `Delta`s whose text is not empty, in order, as they arrive;
2. ends with exactly one `Completion`: why it ended and what it used. Before that it
   may yield a `Usage` whenever the provider says what it has counted so far: the last
   one is what a call costs whose end never comes;
3. raises `BackendError` and nothing else: foreign exceptions are translated inside,
   with `raise ... from`;
4. looks at `cancel` between deltas and while it waits. A cancelled stream ends soon
   with a `Completion` whose finish reason is `cancelled`, with the usage so far if
   that is known;
5. frees everything when it is closed early, also on the provider's side;
6. keeps the deadlines where it alone can (`connect_s` on a socket). The router
   watches all of them from outside and walks away from a backend that hangs.

The first `next()` makes the call; creating the generator does not. Several threads
may stream from one backend at once. Nothing retries: that is the router's work.

To add one: copy the nearest, translate request, stream and errors, and give its
module the two functions by which the registry knows it:

    build_backend(settings) -> Backend
    check_settings(settings) -> None    # raises ValueError or OSError
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from inference.engine_stats import EngineStats
from inference.types import (
    CancelToken,
    ChatMessage,
    CompletionRequest,
    Deadlines,
    RateLimits,
    StreamItem,
)


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """What an operator says of a backend; which of it counts depends on the kind.

    `endpoint` is the base URL of an API, `key` opens it and is never shown.
    `private_hosts` are those that the deployment allows beside public ones, such as
    "ollama" or "10.0.0.7:8000".
    """

    name: str
    model: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    endpoint: str = ""
    key: str = field(default="", repr=False)
    private_hosts: tuple[str, ...] = ()


class Backend(ABC):
    """One model behind one API.

    `name` is the operator's word for it and unique in a route; `model` is the name
    of the model it is asked for.
    """

    name: str
    model: str

    @abstractmethod
    def stream(
        self, request: CompletionRequest, deadlines: Deadlines, cancel: CancelToken
    ) -> Generator[StreamItem, None, None]:
        """Return a generator of `Delta`s that ends with one `Completion`."""

    def start(self) -> None:
        """Begin to load what calls will need; returns at once. May be called twice."""
        return

    def is_ready(self) -> bool:
        """Return whether a call would be worth trying now; never blocks."""
        return True

    def is_full(self) -> bool:
        """Return whether a call now would be refused for lack of room; never blocks."""
        return False

    def read_rate_limits(self) -> RateLimits | None:
        """Return how much more the provider said it takes; None if it says nothing."""
        return None

    def predict_ttft_s(self, request: CompletionRequest) -> float | None:
        """Return in how many seconds a first token would come, asked now.

        None where that is not known; never blocks. A call whose first token cannot
        come in time may be refused with Overloaded at once.
        """
        return None

    def warm(self, openings: Sequence[tuple[ChatMessage, ...]]) -> None:
        """Read what conversations begin with before somebody waits for it.

        Now if there is a model, and whenever it is loaded again. Replaces what was
        said before; returns at once.
        """
        return

    def read_engine(self) -> EngineStats | None:
        """Return how the engine is doing; None where there is none or not yet."""
        return None

    def close(self) -> None:
        """Free what the backend holds; calls in flight fail. May be called twice."""
        return

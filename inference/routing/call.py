"""One call to a backend on a thread of its own, so that a stuck one can be left.

A backend may hang where no deadline of its own reaches: in native code, in a
provider's library. The router waits for items with a time limit instead, and walks
away when it passes.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from inference.backends.base import Backend
from inference.errors import BackendError, InvalidResponse, Overloaded
from inference.types import CancelToken, CompletionRequest, Deadlines, StreamItem

logger = logging.getLogger(__name__)

# Enough to smooth a slow reader, small enough to bound a provider that floods us.
MAX_BUFFERED_ITEMS = 256


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The backend's generator has ended."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that came out of a call, and when."""

    item: StreamItem | BackendError | StreamEnd
    at_s: float


class Call(Protocol):
    """A call in progress."""

    def take(self, until_s: float) -> Arrival | None:
        """Return the next arrival; None when `until_s` passed or somebody woke us."""

    def wake(self) -> None:
        """Make a waiting `take` return now."""

    def stop(self) -> None:
        """Ask the backend to stop; what still comes can be taken."""

    def abandon(self) -> None:
        """Ask the backend to stop and drop what still comes. May be called twice."""


class OpenCall(Protocol):
    """Starts calls; raises Overloaded when too many abandoned ones hang."""

    def __call__(
        self, backend: Backend, request: CompletionRequest, deadlines: Deadlines
    ) -> Call:
        """Start a call and return at once."""


class ThreadedCall:
    """A call whose stream is read by a daemon thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._arrivals: deque[Arrival] = deque()
        self._is_woken = False
        self._is_abandoned = False
        self.cancel = CancelToken()

    def put(self, item: StreamItem | BackendError | StreamEnd) -> bool:
        """Hand an item over, waiting for room; return False once abandoned."""
        at_s = self._clock()
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_abandoned or len(self._arrivals) < MAX_BUFFERED_ITEMS
            )
            if not self._is_abandoned:
                self._arrivals.append(Arrival(item, at_s))
                self._changed.notify_all()
            return not self._is_abandoned

    def take(self, until_s: float) -> Arrival | None:
        """Return the next arrival; None when `until_s` passed or somebody woke us."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._arrivals or self._is_woken,
                timeout=max(0.0, until_s - self._clock()),
            )
            self._is_woken = False
            if not self._arrivals:
                return None
            self._changed.notify_all()
            return self._arrivals.popleft()

    def wake(self) -> None:
        """Make a waiting `take` return now."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask the backend to stop; what still comes can be taken."""
        self.cancel.cancel()

    def abandon(self) -> None:
        """Ask the backend to stop and drop what still comes."""
        with self._changed:
            self._is_abandoned = True
            self._arrivals.clear()
            self._changed.notify_all()
        self.cancel.cancel()

    @property
    def is_abandoned(self) -> bool:
        """Return whether nobody reads this call any more."""
        return self._is_abandoned


class CallThreads:
    """Opens threaded calls and bounds the threads that do not come back.

    A backend with `max_hanging` abandoned calls still running refuses further ones.
    """

    def __init__(self, clock: Callable[[], float], max_hanging: int = 8) -> None:
        self._clock = clock
        self._max_hanging = max_hanging
        self._lock = threading.Lock()
        self._running: dict[ThreadedCall, str] = {}

    def open(
        self, backend: Backend, request: CompletionRequest, deadlines: Deadlines
    ) -> Call:
        """Start a call on a new daemon thread."""
        if self.num_hanging()[backend.name] >= self._max_hanging:
            raise Overloaded(f"{self._max_hanging} calls to {backend.name} hang")
        call = ThreadedCall(self._clock)
        with self._lock:
            self._running[call] = backend.name
        threading.Thread(
            target=self._run,
            args=(call, backend, request, deadlines),
            name=f"call-{backend.name}",
            daemon=True,
        ).start()
        return call

    def num_hanging(self) -> Counter[str]:
        """Return how many abandoned calls still run, by backend name."""
        with self._lock:
            return Counter(
                name for call, name in self._running.items() if call.is_abandoned
            )

    def _run(
        self,
        call: ThreadedCall,
        backend: Backend,
        request: CompletionRequest,
        deadlines: Deadlines,
    ) -> None:
        try:
            _stream(call, backend, request, deadlines)
        finally:
            with self._lock:
                del self._running[call]


def _stream(
    call: ThreadedCall,
    backend: Backend,
    request: CompletionRequest,
    deadlines: Deadlines,
) -> None:
    """Pass every item of the backend's stream to the call, errors included."""
    stream = backend.stream(request, deadlines, call.cancel)
    try:
        for item in stream:
            if not call.put(item):
                return
        call.put(StreamEnd())
    except BackendError as error:
        call.put(error)
    except Exception as error:
        logger.exception("backend=%s broke its contract", backend.name)
        call.put(InvalidResponse(f"{type(error).__name__} escaped the backend"))
    finally:
        stream.close()

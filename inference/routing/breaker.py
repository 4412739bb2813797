"""Whether a backend deserves the next call, learned from its last ones.

Closed: calls pass. Open: it failed too often and cools down. Half open: the pause
is over and one trial call decides. The router asks a backend whose breaker is open
only after all others failed, so a lone backend is still called.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from inference.errors import AuthenticationFailed, BackendError, Overloaded


class BreakerState(Enum):
    """How a backend stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and for how long.

    The pause starts at `pause_s` and doubles with each failed trial up to
    `max_pause_s`. A wrong key opens at once and for the longest pause: no later
    call can do better until a person has changed it.
    """

    failures_to_open: int = 3
    pause_s: float = 5.0
    max_pause_s: float = 60.0


class Breaker:
    """The health of one backend. Threads may share it."""

    def __init__(
        self, clock: Callable[[], float], policy: BreakerPolicy | None = None
    ) -> None:
        self._clock = clock
        self._policy = policy or BreakerPolicy()
        self._lock = threading.Lock()
        self._num_failures = 0
        self._num_openings = 0
        self._open_until_s: float | None = None
        self._trial_s: float | None = None

    @property
    def state(self) -> BreakerState:
        """Return the state at this moment."""
        with self._lock:
            return self._state()

    def allows_call(self) -> bool:
        """Return whether a call may be made now; in half open, claim the one trial.

        A trial that nobody reports on is given up after the longest pause.
        """
        with self._lock:
            state = self._state()
            if state is BreakerState.HALF_OPEN and not self._has_trial():
                self._trial_s = self._clock()
                return True
            return state is BreakerState.CLOSED

    def record_success(self) -> None:
        """Close: the backend answered."""
        with self._lock:
            self._num_failures = self._num_openings = 0
            self._open_until_s = None
            self._trial_s = None

    def record_cancelled(self) -> None:
        """Learn nothing, but let the next trial begin."""
        with self._lock:
            self._trial_s = None

    def record_failure(self, error: BackendError) -> None:
        """Count a failure; open when it was a trial, the last of several, or final."""
        with self._lock:
            state = self._state()
            self._trial_s = None
            if not error.is_backends_fault:
                return
            self._num_failures += 1
            if state is BreakerState.OPEN:
                return
            if state is BreakerState.HALF_OPEN or self._opens_on(error):
                self._open(error)

    def _has_trial(self) -> bool:
        if self._trial_s is None:
            return False
        return self._clock() < self._trial_s + self._policy.max_pause_s

    def _opens_on(self, error: BackendError) -> bool:
        is_clear = isinstance(error, AuthenticationFailed) or (
            isinstance(error, Overloaded) and error.retry_after_s is not None
        )
        return is_clear or self._num_failures >= self._policy.failures_to_open

    def _open(self, error: BackendError) -> None:
        longest_s = self._policy.max_pause_s
        pause_s = min(self._policy.pause_s * 2.0**self._num_openings, longest_s)
        if isinstance(error, AuthenticationFailed):
            pause_s = longest_s
        elif isinstance(error, Overloaded) and error.retry_after_s is not None:
            pause_s = min(max(error.retry_after_s, 0.0), longest_s)
        self._num_openings = min(self._num_openings + 1, 16)
        self._open_until_s = self._clock() + pause_s

    def _state(self) -> BreakerState:
        if self._open_until_s is None:
            return BreakerState.CLOSED
        if self._clock() < self._open_until_s:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

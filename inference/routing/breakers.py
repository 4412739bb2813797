"""Where the breakers of all backends are kept, and the one kind that needs nothing.

A store applies `breaker.step` to one backend's health at a time, so that of several
callers one gets the trial of a half-open breaker.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from inference.routing.breaker import (
    Asked,
    BreakerPolicy,
    BreakerState,
    Change,
    Ended,
    Event,
    Health,
    Leave,
    Step,
    WasReset,
    step,
)

# told what changed of which backend, and why
OnChange = Callable[[str, Change, str], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a backend stands: its breaker's state, for how long yet, and why."""

    state: BreakerState = BreakerState.CLOSED
    open_for_s: float = 0.0
    reason: str = ""
    num_calls: int = 0
    num_failures: int = 0


class Breakers(Protocol):
    """The breakers of all backends by name; threads share them.

    `version` tells settings from those before: what was learned of others is void.
    """

    def ask(self, name: str, version: str, is_last: bool = False) -> Leave | None:
        """Return leave to call, None if the breaker is open; `is_last` always gets it.

        Whoever gets leave says later how the call ended.
        """

    def end(self, name: str, ended: Ended) -> None:
        """Learn from a call that had leave."""

    def reset(self, name: str) -> None:
        """Close a breaker by hand."""

    def read(self, names: Iterable[str]) -> Mapping[str, Standing]:
        """Return how backends stand; those that nothing is known of are closed."""


def describe(health: Health, now_s: float) -> Standing:
    """Return how a backend of this health stands at a moment."""
    return Standing(
        state=health.state(now_s),
        open_for_s=max(health.open_until_s - now_s, 0.0),
        reason=health.reason,
        num_calls=len(health.calls),
        num_failures=sum(failed for _, failed in health.calls),
    )


def ignore(name: str, change: Change, words: str) -> None:
    """Take no note of what changes."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a backend: its health, and the settings that showed it."""

    version: str = ""
    health: Health = field(default_factory=Health)

    def apply(
        self, version: str | None, event: Event, now_s: float, policy: BreakerPolicy
    ) -> tuple["Record", Step]:
        """Return the next record and the step; calls of other settings teach nothing.

        Without a version it is that of the record.
        """
        health, kept = self.health, self.version if version is None else version
        if kept != self.version:
            if isinstance(event, Ended):
                return self, Step(self.health)
            health = Health()
        done = step(health, event, now_s, policy)
        if done.leave is not None:
            done = replace(done, leave=replace(done.leave, version=kept))
        return Record(kept, done.health), done


class ProcessBreakers:
    """The breakers of one process, in its memory."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        on_change: OnChange = ignore,
        policy: BreakerPolicy | None = None,
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._policy = policy or BreakerPolicy()
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}

    def ask(self, name: str, version: str, is_last: bool = False) -> Leave | None:
        """Return leave to call, None if the breaker is open."""
        return self._apply(name, version, Asked(is_last))

    def end(self, name: str, ended: Ended) -> None:
        """Learn from a call that had leave."""
        self._apply(name, ended.leave.version, ended)

    def reset(self, name: str) -> None:
        """Close a breaker by hand."""
        self._apply(name, None, WasReset())

    def read(self, names: Iterable[str]) -> Mapping[str, Standing]:
        """Return how backends stand."""
        now_s = self._clock()
        with self._lock:
            records = dict(self._records)
        return {
            name: describe(records.get(name, Record()).health, now_s) for name in names
        }

    def forget(self) -> None:
        """Forget what was learned of all backends."""
        with self._lock:
            self._records.clear()

    def _apply(self, name: str, version: str | None, event: Event) -> Leave | None:
        now_s = self._clock()
        with self._lock:
            record = self._records.get(name, Record())
            self._records[name], done = record.apply(
                version, event, now_s, self._policy
            )
        if done.change is not None:
            self._on_change(name, done.change, done.words)
        return done.leave

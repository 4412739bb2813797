"""Whether a backend's next replies go to another one because they would come late.

The first token of a reply is foreseen before anybody waits for it. Two thresholds and
a minimum time keep a backend at its limit from switching back and forth.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SpillPolicy:
    """When to begin and to end, as parts of the target for the first token.

    Spill begins when a first token is foreseen after `begin_at` of the target. It ends
    when one is foreseen before `end_at`, but not before it has lasted for `min_s`.
    """

    begin_at: float = 1.0
    end_at: float = 0.6
    min_s: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.end_at <= self.begin_at:
            raise ValueError(f"spill must end below where it begins: {self}")


@dataclass(frozen=True, slots=True)
class Spill:
    """Whether a backend spills, since when, and what was foreseen last."""

    is_on: bool = False
    since_s: float = 0.0
    foreseen_s: float | None = None
    target_s: float = 0.0


def step(
    spill: Spill,
    foreseen_s: float | None,
    target_s: float,
    now_s: float,
    policy: SpillPolicy,
) -> Spill:
    """Return the spill after a look ahead; `foreseen_s` is None if nothing is known.

    What is not known begins no spill, and ends one after its minimum time.
    """
    seen = replace(spill, foreseen_s=foreseen_s, target_s=target_s)
    if not spill.is_on:
        begins = foreseen_s is not None and foreseen_s > policy.begin_at * target_s
        return replace(seen, is_on=True, since_s=now_s) if begins else seen
    is_short = now_s - spill.since_s < policy.min_s
    is_late = foreseen_s is not None and foreseen_s >= policy.end_at * target_s
    return seen if is_short or is_late else replace(seen, is_on=False, since_s=now_s)


# told which backend's spill began or ended
OnSpill = Callable[[str, Spill], None]


def _ignore(name: str, spill: Spill) -> None:
    return


class Spills:
    """The spills of one process' backends, by name. Threads share it."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        on_spill: OnSpill = _ignore,
        policy: SpillPolicy | None = None,
    ) -> None:
        self._clock = clock
        self._on_spill = on_spill
        self._policy = policy or SpillPolicy()
        self._lock = threading.Lock()
        self._spills: dict[str, Spill] = {}

    def look(self, name: str, foreseen_s: float | None, target_s: float) -> Spill:
        """Take in what is foreseen of a backend; return its spill."""
        with self._lock:
            before = self._spills.get(name, Spill())
            after = step(before, foreseen_s, target_s, self._clock(), self._policy)
            self._spills[name] = after
        if before.is_on is not after.is_on:
            self._on_spill(name, after)
        return after

    def read(self) -> dict[str, Spill]:
        """Return the spills as they are."""
        with self._lock:
            return dict(self._spills)

    def forget(self, name: str) -> None:
        """End a backend's spill, which is no more looked at."""
        with self._lock:
            ended = self._spills.pop(name, Spill())
        if ended.is_on:
            self._on_spill(name, replace(ended, is_on=False, foreseen_s=None))


class SpillBoard(Protocol):
    """Where workers say which of their backends spill, for those who queue jobs."""

    def report(self, worker: str, spills: dict[str, bool]) -> None:
        """Say which backends of a worker spill; forgotten after some seconds."""

    def read(self, names: Iterable[str]) -> set[str]:
        """Return those that spill in every worker that reported of late."""

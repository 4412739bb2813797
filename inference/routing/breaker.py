"""Whether a backend deserves the next call, learned from its last ones.

    closed --- too many failures, or one that says all ---> open
    open ----- the pause is over -------------------------> half open
    half open - one trial call answers -------------------> closed
    half open - it fails ---------------------------------> open, for twice as long

Pure: a `Health` is a value, and `step` returns the next one for an event. The stores
(breakers.py here, and one in Redis above) apply it so that two workers see one order
of events. A breaker never refuses by itself: the router asks a backend whose breaker
is open after all others, so the last one standing is always asked.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from inference.errors import BackendError, OperatorNeeded


class BreakerState(StrEnum):
    """How a backend stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and for how long.

    It opens after `failures_to_open` failures in a row, or when at least
    `share_to_open` of `min_calls` or more failed, counting the last `max_kept` calls
    of the last `window_s`. The pause starts at `pause_s` and doubles with each failed
    trial up to `max_pause_s`. What no later call can do better, such as a wrong key,
    opens at once and for the longest pause. A trial that nobody reports on is given up
    after `trial_s`.
    """

    failures_to_open: int = 3
    window_s: float = 60.0
    min_calls: int = 10
    share_to_open: float = 0.5
    max_kept: int = 40
    pause_s: float = 5.0
    max_pause_s: float = 60.0
    trial_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a backend; times are those of one clock, in seconds.

    `calls` are the last ones that tell something, the oldest first: when each ended,
    and whether it failed. `opened_s` is None while the breaker is closed. `trial_s` is
    when the trial of a half-open breaker was claimed. `reason` is why it opened.
    """

    calls: tuple[tuple[float, bool], ...] = ()
    opened_s: float | None = None
    open_until_s: float = 0.0
    num_openings: int = 0
    trial_s: float | None = None
    reason: str = ""

    def state(self, now_s: float) -> BreakerState:
        """Return the state at a moment."""
        if self.opened_s is None:
            return BreakerState.CLOSED
        is_open = now_s < self.open_until_s
        return BreakerState.OPEN if is_open else BreakerState.HALF_OPEN


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave for one call, given at `at_s`; it may be the trial of a half-open breaker.

    `version` is that of the backend's settings.
    """

    at_s: float
    is_trial: bool = False
    version: str = ""


class Lesson(StrEnum):
    """What a call teaches; `nothing` is that of one that was cancelled or rejected."""

    SUCCESS = "success"
    FAILURE = "failure"
    HOPELESS = "hopeless"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants to call; with `is_last` although the breaker may be open."""

    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A call ended. `retry_after_s` is when the backend said to come back."""

    leave: Leave
    lesson: Lesson
    retry_after_s: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WasReset:
    """Somebody trusts the backend again."""


Event = Asked | Ended | WasReset


class Change(StrEnum):
    """What is worth writing down."""

    OPENED = "opened"
    TRIED = "tried"
    CLOSED = "closed"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Step:
    """What an event makes of a health: the next one, leave to call, what changed."""

    health: Health
    leave: Leave | None = None
    change: Change | None = None
    words: str = ""


def build_ended(leave: Leave, error: BackendError | None, was_answered: bool) -> Ended:
    """Return the event of a call's end, by its error if it has one."""
    if error is None:
        return Ended(leave, Lesson.SUCCESS if was_answered else Lesson.NOTHING)
    if not error.is_backends_fault:
        return Ended(leave, Lesson.NOTHING)
    is_hopeless = isinstance(error, OperatorNeeded)
    return Ended(
        leave,
        Lesson.HOPELESS if is_hopeless else Lesson.FAILURE,
        error.retry_after_s,
        type(error).__name__,
    )


def step(health: Health, event: Event, now_s: float, policy: BreakerPolicy) -> Step:
    """Return what an event makes of a health at a moment."""
    if isinstance(event, Asked):
        return _ask(health, event, now_s, policy)
    if isinstance(event, Ended):
        return _learn(health, event, now_s, policy)
    is_news = health != Health()
    change = Change.RESET if is_news else None
    return Step(Health(), change=change, words="reset by hand")


def _ask(health: Health, event: Asked, now_s: float, policy: BreakerPolicy) -> Step:
    """Give leave when closed, for the one trial when half open, and to the last."""
    state = health.state(now_s)
    if state is BreakerState.CLOSED:
        return Step(health, Leave(now_s))
    if state is BreakerState.HALF_OPEN and not _has_trial(health, now_s, policy):
        tried = replace(health, trial_s=now_s)
        words = "the pause is over: one call tries it"
        return Step(tried, Leave(now_s, is_trial=True), Change.TRIED, words)
    return Step(health, Leave(now_s) if event.is_last else None)


def _has_trial(health: Health, now_s: float, policy: BreakerPolicy) -> bool:
    return health.trial_s is not None and now_s < health.trial_s + policy.trial_s


def _learn(health: Health, event: Ended, now_s: float, policy: BreakerPolicy) -> Step:
    leave = event.leave
    if leave.is_trial and leave.at_s == health.trial_s:
        health = replace(health, trial_s=None)
    # a call that began before the breaker opened says nothing of the time since
    is_old = health.opened_s is not None and leave.at_s < health.opened_s
    if event.lesson is Lesson.NOTHING or is_old:
        return Step(health)
    state = health.state(now_s)
    is_failure = event.lesson is not Lesson.SUCCESS
    if not is_failure and state is not BreakerState.CLOSED:
        closed = Health(calls=((now_s, False),))
        return Step(closed, change=Change.CLOSED, words="it answered")
    if state is BreakerState.OPEN:
        return Step(health)
    health = replace(health, calls=_keep(health, (now_s, is_failure), now_s, policy))
    if state is BreakerState.HALF_OPEN:
        return _open(health, event, now_s, policy, f"tried in vain: {event.reason}")
    why = _why_open(health, event, policy) if is_failure else ""
    return _open(health, event, now_s, policy, why) if why else Step(health)


def _keep(
    health: Health, call: tuple[float, bool], now_s: float, policy: BreakerPolicy
) -> tuple[tuple[float, bool], ...]:
    oldest_s = now_s - policy.window_s
    recent = [one for one in (*health.calls, call) if one[0] >= oldest_s]
    return tuple(recent[-policy.max_kept :])


def _why_open(health: Health, event: Ended, policy: BreakerPolicy) -> str:
    """Return why the breaker opens now, empty if it does not."""
    if event.lesson is Lesson.HOPELESS or event.retry_after_s is not None:
        return event.reason
    last = health.calls[-policy.failures_to_open :]
    if len(last) == policy.failures_to_open and all(failed for _, failed in last):
        return f"{policy.failures_to_open} failures in a row, the last {event.reason}"
    num_calls = len(health.calls)
    num_failures = sum(failed for _, failed in health.calls)
    if num_calls >= policy.min_calls and num_failures >= (
        policy.share_to_open * num_calls
    ):
        return f"{num_failures} of {num_calls} calls failed, the last {event.reason}"
    return ""


def _open(
    health: Health, event: Ended, now_s: float, policy: BreakerPolicy, reason: str
) -> Step:
    longest_s = policy.max_pause_s
    pause_s = min(policy.pause_s * 2.0**health.num_openings, longest_s)
    if event.lesson is Lesson.HOPELESS:
        pause_s = longest_s
    elif event.retry_after_s is not None:
        pause_s = min(max(event.retry_after_s, 0.0), longest_s)
    opened = Health(
        opened_s=now_s,
        open_until_s=now_s + pause_s,
        num_openings=min(health.num_openings + 1, 16),
        reason=reason,
    )
    words = f"for {pause_s:g} s: {reason}"
    return Step(opened, change=Change.OPENED, words=words)


def dump(health: Health) -> dict[str, Any]:
    """Return a health as plain values, for a store outside the process."""
    return asdict(health)


def load(values: Mapping[str, Any]) -> Health:
    """Return the health that was dumped; raises ValueError for anything else."""
    try:
        calls = tuple((float(at_s), bool(failed)) for at_s, failed in values["calls"])
        return Health(**{**values, "calls": calls})
    except (TypeError, KeyError) as error:
        raise ValueError(f"this is no health: {error}") from error

"""What providers say of how much more they will take, read from their headers.

OpenAI and who speaks like it, and Anthropic, tell with each answer how many requests
and tokens are left and until when. Gemini does not. Routing asks `RateWatch.is_full`
and goes to the next backend instead of into a refusal. Each process knows what its own
calls were told.
"""

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from inference.types import RateLimits, Usage

_REQUESTS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
)
_TOKENS = (
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|[hms])")
# A header that says more than a day is one that we misread,
_LONGEST_S = 86_400.0
# and so is a count of more digits, which can be too many to be read at all.
_MAX_DIGITS = 18


class RateWatch:
    """What the last answer said, grown old. Threads may share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limits: RateLimits | None = None
        self._said_s = 0.0
        self._num_started = 0
        self._tokens_of_a_call = 0

    def start_call(self) -> None:
        """Count a call that the last answer did not know of."""
        with self._lock:
            self._num_started += 1

    def learn(self, limits: RateLimits | None) -> None:
        """Take in what an answer said, if it said something."""
        if limits is None:
            return
        with self._lock:
            self._limits, self._said_s = limits, self._clock()
            self._num_started = 0

    def learn_usage(self, usage: Usage | None) -> None:
        """Take in how many tokens a call of this backend takes."""
        if usage is not None:
            self._tokens_of_a_call = usage.prompt_tokens + usage.completion_tokens

    def read(self) -> RateLimits | None:
        """Return what is left, as far as it was said; None once that is over."""
        with self._lock:
            limits, started = self._limits, self._num_started
            age_s = self._clock() - self._said_s
        if limits is None:
            return None
        grown = RateLimits(
            *_age(limits.requests_left, limits.requests_reset_s, age_s, started),
            *_age(limits.tokens_left, limits.tokens_reset_s, age_s),
        )
        return None if grown == RateLimits() else grown

    def is_full(self) -> bool:
        """Return whether one more call would be refused.

        So it is without a request left, or with fewer tokens than the last call took.
        """
        limits = self.read()
        if limits is None:
            return False
        if limits.requests_left is not None and limits.requests_left <= 0:
            return True
        needed = max(self._tokens_of_a_call, 1)
        return limits.tokens_left is not None and limits.tokens_left < needed


def _age(
    left: int | None, reset_s: float | None, age_s: float, taken: int = 0
) -> tuple[int | None, float | None]:
    """Return what is left of a limit after a while: nothing is known after its reset.

    One without a reset is believed for a second.
    """
    remaining_s = (1.0 if reset_s is None else reset_s) - age_s
    if left is None or remaining_s <= 0:
        return None, None
    return max(left - taken, 0), remaining_s


def read_rate_limits(
    headers: Mapping[str, str], now: datetime | None = None
) -> RateLimits | None:
    """Return what the headers of an answer say is left, None if they say nothing."""
    now = now or datetime.now(UTC)
    limits = RateLimits(*_read(headers, _REQUESTS, now), *_read(headers, _TOKENS, now))
    return None if limits == RateLimits() else limits


def _read(
    headers: Mapping[str, str], names: tuple[tuple[str, str], ...], now: datetime
) -> tuple[int | None, float | None]:
    for left_name, reset_name in names:
        left = headers.get(left_name, "").strip()
        if left.isascii() and left.isdecimal() and len(left) <= _MAX_DIGITS:
            return int(left), _read_reset(headers.get(reset_name, "").strip(), now)
    return None, None


def _read_reset(text: str, now: datetime) -> float | None:
    """Return the seconds until a reset: "6m0s", "120ms", "12.5" or an RFC 3339 time."""
    if not text:
        return None
    spans = _SPAN.findall(text)
    if spans and "".join(number + unit for number, unit in spans) == text:
        wait_s = sum(float(number) * _UNITS[unit] for number, unit in spans)
    else:
        try:
            wait_s = float(text)
        except ValueError:
            wait_s = _seconds_until(text, now)
    is_sane = math.isfinite(wait_s) and wait_s <= _LONGEST_S
    return max(wait_s, 0.0) if is_sane else None


def _seconds_until(text: str, now: datetime) -> float:
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return (then - now).total_seconds()

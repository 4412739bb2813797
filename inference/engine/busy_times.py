"""Whose the engine's time was: each step's, divided among its requests by tokens.

What a step takes is more than its decode call. What comes after that (tokens are chosen
and turned into text) is divided with the next step, as are fractions of milliseconds,
so that the shares of all requests together are the time that the engine was busy.
"""

from collections import defaultdict
from collections.abc import Mapping


class BusyTimes:
    """The time of the steps, and each request's share of it, in seconds.

    `begin` and `end` enclose a step, `divide` follows its decode call. `total_s` is the
    time of all steps that have ended.
    """

    def __init__(self) -> None:
        self.total_s = 0.0
        self._since_s = 0.0
        self._undivided_s = 0.0
        self._shares_s: defaultdict[str, float] = defaultdict(float)
        self._fraction_ms = 0.0

    def begin(self, now_s: float) -> None:
        """Note that a step begins."""
        self._since_s = now_s

    def divide(self, now_s: float, tokens: Mapping[str, int]) -> None:
        """Divide the time so far among requests, by the tokens computed for each."""
        self.end(now_s)
        num_tokens = sum(tokens.values())
        if not num_tokens:
            return
        for key, number in tokens.items():
            self._shares_s[key] += self._undivided_s * number / num_tokens
        self._undivided_s = 0.0

    def end(self, now_s: float) -> None:
        """Note that a step is over."""
        took_s = now_s - self._since_s
        self.total_s += took_s
        self._undivided_s += took_s
        self._since_s = now_s

    def close(self, key: str) -> int:
        """Return a request's share in milliseconds, and forget it."""
        exact_ms = self._shares_s.pop(key, 0.0) * 1000 + self._fraction_ms
        busy_ms = max(round(exact_ms), 0)
        self._fraction_ms = exact_ms - busy_ms
        return busy_ms

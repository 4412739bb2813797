"""Keeps calls below the requests and tokens a minute that a backend is good for.

A call is counted before it is made, with the tokens that it is estimated to take, and
corrected when it is over. The count slides: of the minute before, the part counts that
is less than 60 s ago, as if its calls had been spread evenly.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from django.utils import timezone
from limits.storage import MemoryStorage, RedisStorage, Storage

from inference.budgets import BoundReply, ReadRow
from inference.models import Backend
from inference.redis_link import RedisGone, RedisLink, link_to
from inference.routing.gates import FREE, NO_CALL, Pass, Refused
from inference.routing.plan import Asker
from inference.routing.usage import estimate_prompt
from inference.types import AttemptReport, CompletionRequest

_MINUTE_S = 60
# a count is read in its own minute and the next, and corrected after its last call
_KEPT_S = 10 * _MINUTE_S


def _read_clock_s() -> float:
    return timezone.now().timestamp()


@dataclass(frozen=True, slots=True)
class Taken:
    """What was counted, and where, so that it can be corrected there."""

    storage: Storage
    key: str


class MinuteCounts:
    """Counts by the minute; of all processes in Redis, else of this one.

    While Redis is away each process counts alone: nothing waits for it.
    """

    def __init__(
        self,
        link: RedisLink | None = None,
        clock: Callable[[], float] = _read_clock_s,
    ) -> None:
        self._link = link
        self._clock = clock
        self._own = MemoryStorage()
        # it loses counts when two threads begin one at once
        self._lock = threading.Lock()
        self._shared = None if link is None else _open_storage(link)

    def take(self, name: str, amount: int, limit: int) -> Taken | None:
        """Count `amount` if no more than `limit` come together; else return None."""
        if self._link is not None and self._shared is not None:
            shared = self._shared
            with suppress(RedisGone):
                return self._link.ask(lambda: self._take(shared, name, amount, limit))
        with self._lock:
            return self._take(self._own, name, amount, limit)

    def correct(self, taken: Taken, amount: int) -> None:
        """Count so much more, or less if it is negative, where it was counted."""
        if not amount:
            return
        if self._link is None or taken.storage is self._own:
            with self._lock:
                taken.storage.incr(taken.key, _KEPT_S, amount)
            return
        with suppress(RedisGone):  # the count is gone with it
            self._link.ask(lambda: taken.storage.incr(taken.key, _KEPT_S, amount))

    def _take(
        self, storage: Storage, name: str, amount: int, limit: int
    ) -> Taken | None:
        """Count first and look then: of two at once at most both are refused."""
        minute, since_s = divmod(self._clock(), _MINUTE_S)
        key = f"{name}/{minute:.0f}"
        num_now = storage.incr(key, _KEPT_S, amount)
        num_before = storage.get(f"{name}/{minute - 1:.0f}")
        if num_now + num_before * (1 - since_s / _MINUTE_S) <= limit:
            return Taken(storage, key)
        storage.incr(key, _KEPT_S, -amount)
        return None


def _open_storage(link: RedisLink) -> Storage:
    """Return the store in that Redis; connects with the first count."""
    return RedisStorage(
        "redis://",
        connection_pool=link.client.connection_pool,
        key_prefix="inference:ceilings",
    )


@cache
def open_shared_counts() -> MinuteCounts:
    """Return the counts of this process, shared if the settings name a Redis."""
    url = settings.RATE_LIMIT_STORAGE_URL
    return MinuteCounts(None if url.startswith("memory:") else link_to(url))


class CeilingGate:
    """Lets calls pass that stay below their backend's ceilings; threads share it."""

    def __init__(
        self,
        read_row: ReadRow,
        bound_reply: BoundReply,
        open_counts: Callable[[], MinuteCounts] = open_shared_counts,
    ) -> None:
        self._read_row = read_row
        self._bound_reply = bound_reply
        self._open_counts = open_counts

    def admit(self, backend: str, request: CompletionRequest, asker: Asker) -> Pass:
        """Return leave for a call that is counted now; raises Refused. No query."""
        row = self._read_row(backend)
        if row is None:
            return FREE
        num_tokens = estimate_prompt(request.messages)
        num_tokens += self._bound_reply(backend, request)
        ceilings = _find_ceilings(row, num_tokens)
        if not ceilings:
            return FREE
        counts = self._open_counts()
        taken: list[tuple[str, Taken, int]] = []
        for what, amount, limit in ceilings:
            one = counts.take(f"{backend}/{what}", amount, limit)
            if one is None:
                for _, earlier, counted in taken:
                    counts.correct(earlier, -counted)
                raise Refused(_refuse(what, amount, limit))
            taken.append((what, one, amount))
        return _Counted(counts, taken)


class _Counted:
    """Leave for one call, which is counted."""

    def __init__(
        self, counts: MinuteCounts, taken: list[tuple[str, Taken, int]]
    ) -> None:
        self._counts = counts
        self._taken = taken

    def settle(self, report: AttemptReport) -> None:
        """Count what the call took in the place of the estimate."""
        usage = report.usage
        num_tokens = usage.prompt_tokens + usage.completion_tokens if usage else 0
        for what, taken, counted in self._taken:
            if report is NO_CALL:
                self._counts.correct(taken, -counted)
            elif what == "tokens":
                self._counts.correct(taken, num_tokens - counted)


def _find_ceilings(row: Backend, num_tokens: int) -> list[tuple[str, int, int]]:
    """Return what a call counts against which limits, by name."""
    ceilings = (
        ("requests", 1, row.max_requests_per_minute),
        ("tokens", num_tokens, row.max_tokens_per_minute),
    )
    return [
        (what, amount, limit) for what, amount, limit in ceilings if limit is not None
    ]


def _refuse(what: str, amount: int, limit: int) -> str:
    if amount > limit:
        return f"a call of up to {amount:,} {what} is over its {limit:,} a minute"
    return f"over its ceiling of {limit:,} {what} a minute"

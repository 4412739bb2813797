"""The Redis that processes share, asked so that its absence costs little time.

What is in Redis is fast and may be lost: every caller has something to fall back on,
so a Redis that is gone, frozen or full slows nobody down for long.
"""

import logging
import threading
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

TIMEOUT_S = 1.0
PAUSE_S = 2.0


class RedisGone(Exception):  # noqa: N818 - says what happened
    """Redis did not answer, now or less than 2 s ago; go on without it."""


class RedisLink:
    """One client of this process with a pool that is kept; threads may share it.

    After a failure nothing is asked for 2 s, so that callers go on without Redis at
    once and not each after a timeout. Commands are sent again when the connection was
    closed meanwhile (Redis may have been restarted), so they must bear being repeated.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self.client = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            socket_keepalive=True,
            # the default waits up to 10 s between three retries, of timeouts too
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            decode_responses=True,
        )
        self._lock = threading.Lock()
        self._paused_until_s = 0.0

    @property
    def is_paused(self) -> bool:
        """Return whether Redis failed a moment ago and is left alone."""
        return monotonic() < self._paused_until_s

    def ask(self, ask: Callable[[], Answer]) -> Answer:
        """Return what `ask` does with the client; raises RedisGone if Redis fails."""
        if self.is_paused:
            raise RedisGone("Redis did not answer a moment ago")
        try:
            return ask()
        except RedisError as error:
            self._pause(error)
            raise RedisGone(str(error)) from error

    def _pause(self, error: RedisError) -> None:
        with self._lock:
            is_news = not self.is_paused
            self._paused_until_s = monotonic() + PAUSE_S
        if is_news:
            logger.warning("Redis: %s: %s", type(error).__name__, error)


def to_seconds(said: tuple[int, int]) -> float:
    """Return the time that Redis tells, which is one for all machines, in seconds."""
    seconds, microseconds = said
    return seconds + microseconds / 1_000_000


@cache
def link_to(url: str) -> RedisLink:
    """Return this process's link to a Redis; the same for the same address."""
    return RedisLink(url)

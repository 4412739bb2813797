"""Counts open sockets, to bound them: in this process and among all processes.

A process that was killed gives nothing back, so what it counted in Redis ends by
itself unless it is renewed.
"""

import atexit
import contextlib
import logging
import threading
from collections import Counter
from typing import Protocol
from uuid import uuid4

from django.conf import settings

from inference.redis_link import RedisGone, RedisLink, link_to

logger = logging.getLogger(__name__)

INTERVAL_S = 5.0
# Two of three may fail before the sockets of a living process are forgotten.
LIFETIME_S = 15


class SocketCount(Protocol):
    """Open sockets by key, such as a conversation or an address."""

    def take(self, key: str, limit: int) -> bool:
        """Count one more socket of `key`; return whether that was within `limit`."""

    def give_back(self, key: str) -> None:
        """Count one socket of `key` less; does not wait for anything."""

    def __len__(self) -> int:
        """Return how many keys have open sockets in this process."""


class ProcessSocketCount:
    """The open sockets of this process alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def take(self, key: str, limit: int) -> bool:
        """Count one more socket of `key`; return whether that was within `limit`."""
        with self._lock:
            if self._open[key] >= limit:
                return False
            self._open[key] += 1
            return True

    def give_back(self, key: str) -> None:
        """Count one socket of `key` less."""
        with self._lock:
            self._open[key] -= 1
            if self._open[key] <= 0:
                del self._open[key]

    def read(self) -> Counter[str]:
        """Return a copy of the counts."""
        with self._lock:
            return Counter(self._open)

    def __len__(self) -> int:
        return len(self._open)


# KEYS[1] has how many sockets each process holds. ARGV: process, count, limit, and the
# prefix of the keys that say which processes live.
_TAKE = """
local sum = tonumber(ARGV[2])
local counts = redis.call('HGETALL', KEYS[1])
for place = 1, #counts, 2 do
    if redis.call('EXISTS', ARGV[4] .. counts[place]) == 0 then
        redis.call('HDEL', KEYS[1], counts[place])
    elseif counts[place] ~= ARGV[1] then
        sum = sum + counts[place + 1]
    end
end
if sum > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


class SharedSocketCount:
    """The open sockets of all processes: each says in Redis how many it has of a key.

    A thread tells of closed sockets, and every 5 s that this process lives; one that
    does not say so for 15 s has no sockets. Without Redis each counts its own.
    """

    PREFIX = "support:sockets:"

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._own = ProcessSocketCount()
        self._process = uuid4().hex
        self._script = link.client.register_script(_TAKE)
        self._lock = threading.Lock()
        self._untold: set[str] = set()
        self._wake = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def take(self, key: str, limit: int) -> bool:
        """Count one more socket of `key`; return whether that was within `limit`.

        Asks Redis: call it from a thread that may wait.
        """
        if not self._own.take(key, limit):
            return False
        self._start_telling()
        try:
            is_within = self._link.ask(lambda: self._say(key, limit))
        except RedisGone:
            with self._lock:
                self._untold.add(key)
            return True
        if not is_within:
            self._own.give_back(key)
        return is_within

    def give_back(self, key: str) -> None:
        """Count one socket of `key` less; Redis hears of it in a moment."""
        self._own.give_back(key)
        with self._lock:
            self._untold.add(key)
        self._wake.set()

    def tell(self) -> None:
        """Tell Redis that this process lives and what has changed.

        That is everything, where Redis has forgotten this process or never knew it.
        """
        open_now = self._own.read()
        with self._lock:
            untold, self._untold = self._untold, set()
        try:
            if not self._link.ask(self._say_alive):
                untold |= open_now.keys()
            self._link.ask(lambda: self._say_all(untold, open_now))
        except RedisGone:
            with self._lock:
                self._untold |= untold

    def __len__(self) -> int:
        return len(self._own)

    def _say(self, key: str, limit: int) -> bool:
        count = self._own.read()[key]
        lives = f"{self.PREFIX}process:"
        arguments: list[str | int] = [self._process, count, limit, lives]
        return bool(self._script(keys=[self._counts_key(key)], args=arguments))

    def _say_alive(self) -> bool:
        """Return whether Redis knew that this process lives."""
        key = f"{self.PREFIX}process:{self._process}"
        return self._link.client.set(key, "alive", ex=LIFETIME_S, get=True) is not None

    def _say_all(self, keys: set[str], open_now: Counter[str]) -> None:
        pipeline = self._link.client.pipeline(transaction=False)
        for key in keys:
            if key in open_now:
                pipeline.hset(self._counts_key(key), self._process, str(open_now[key]))
            else:
                pipeline.hdel(self._counts_key(key), self._process)
        pipeline.execute()

    def _counts_key(self, key: str) -> str:
        return f"{self.PREFIX}open:{key}"

    def _start_telling(self) -> None:
        """Start the thread at the first socket; the rest is told when it ends."""
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._run, name="socket-count", daemon=True
            )
        self.tell()
        self._thread.start()
        atexit.register(self.close)

    def close(self) -> None:
        """Tell what has changed since, and end the thread."""
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(INTERVAL_S)
        self.tell()

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.wait(INTERVAL_S)
            self._wake.clear()
            try:
                self.tell()
            except Exception:
                # the edge of a thread: the next round is the remedy
                logger.exception("the open sockets were not told to Redis")


def build_socket_count(url: str) -> SocketCount:
    """Return the count that a RATE_LIMIT_STORAGE_URL names."""
    if url.startswith("memory:"):
        return ProcessSocketCount()
    return SharedSocketCount(link_to(url))


sockets = build_socket_count(settings.RATE_LIMIT_STORAGE_URL)


class CountedSocket:
    """One socket and the keys that it is counted under; each is given back once."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._has_left = False

    def take(self, key: str, limit: int) -> bool:
        """Count the socket under a key; return whether there is room for it.

        Asks Redis: call it from a thread that may wait. The socket may leave meanwhile.
        """
        is_counted = sockets.take(key, limit)
        if is_counted:
            self._keys.append(key)
        if self._has_left:
            self.give_back()
        return is_counted

    def give_back(self) -> None:
        """Count the socket no more, whichever thread comes first."""
        self._has_left = True
        with contextlib.suppress(IndexError):
            while True:
                sockets.give_back(self._keys.pop())

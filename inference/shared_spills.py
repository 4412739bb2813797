"""Which backends spill, said by their workers to whoever queues jobs.

A flag that is a second old decides into which queue a job goes; the worker that gets
it decides anew. So nothing here is worth waiting for.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

from inference.redis_link import RedisGone, RedisLink, to_seconds

PREFIX = "routing:spilling:"
# a worker that said nothing for so long is gone
FRESH_S = 5.0
_KEPT_S = 60


def spills_everywhere(said: Mapping[str, tuple[float, bool]], now_s: float) -> bool:
    """Return whether all workers that spoke of late spill; False if none did."""
    fresh = [is_on for at_s, is_on in said.values() if now_s - at_s < FRESH_S]
    return bool(fresh) and all(fresh)


class ProcessSpillBoard:
    """The flags of one process, which both queues jobs and takes them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[str, dict[str, tuple[float, bool]]] = {}

    def report(self, worker: str, spills: Mapping[str, bool]) -> None:
        """Say which backends of a worker spill."""
        now_s = self._clock()
        with self._lock:
            for name, is_on in spills.items():
                self._said.setdefault(name, {})[worker] = (now_s, is_on)

    def read(self, names: Iterable[str]) -> set[str]:
        """Return those that spill in every worker that reported of late."""
        now_s = self._clock()
        with self._lock:
            return {
                name
                for name in names
                if spills_everywhere(self._said.get(name, {}), now_s)
            }


class SharedSpillBoard:
    """The flags of all workers, in Redis; while it is away nobody seems to spill."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    def report(self, worker: str, spills: Mapping[str, bool]) -> None:
        """Say which backends of a worker spill."""
        with suppress(RedisGone):
            self._link.ask(lambda: self._report(worker, spills))

    def read(self, names: Iterable[str]) -> set[str]:
        """Return those that spill in every worker that reported of late."""
        names = list(names)
        with suppress(RedisGone):
            return self._link.ask(lambda: self._read(names))
        return set()

    def _report(self, worker: str, spills: Mapping[str, bool]) -> None:
        with self._link.client.pipeline(transaction=False) as pipe:
            now_s = self._read_clock()
            for name, is_on in spills.items():
                key = PREFIX + name
                pipe.hset(key, worker, f"{now_s} {int(is_on)}")
                pipe.expire(key, _KEPT_S)
            pipe.execute()

    def _read(self, names: list[str]) -> set[str]:
        now_s = self._read_clock()
        with self._link.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(PREFIX + name)
            hashes = pipe.execute()
        return {
            name
            for name, said in zip(names, hashes, strict=True)
            if spills_everywhere(_parse(said), now_s)
        }

    def _read_clock(self) -> float:
        return to_seconds(cast("Any", self._link.client.time()))


def _parse(said: Mapping[str, str]) -> dict[str, tuple[float, bool]]:
    parts = {worker: text.partition(" ") for worker, text in said.items()}
    return {worker: (float(at), on == "1") for worker, (at, _, on) in parts.items()}

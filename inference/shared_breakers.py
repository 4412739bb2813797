"""The breakers that all workers share, in Redis.

Each backend's record is one text, replaced only if nobody else did meanwhile; the
clock is that of Redis, so that workers on several machines agree. While Redis is away
each process goes on with breakers of its own.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from inference.redis_link import RedisGone, RedisLink, to_seconds
from inference.routing.breaker import (
    Asked,
    BreakerPolicy,
    Ended,
    Event,
    Leave,
    Step,
    WasReset,
    dump,
    load,
)
from inference.routing.breakers import (
    OnChange,
    ProcessBreakers,
    Record,
    Standing,
    describe,
    ignore,
)

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

PREFIX = "routing:breaker:"
# of a backend that is not called for so long nothing is known any more
_LIFETIME_S = 24 * 60 * 60
# two of a hundred callers at once may be unlucky so often; more is a broken Redis
_MAX_TRIES = 200
# KEYS[1] the record; ARGV: what it was (empty: nothing), what it becomes, its lifetime
_SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


def _wall_clock() -> float:
    """Return the time as Redis counts it, for when it is away."""
    return datetime.now(UTC).timestamp()


class SharedBreakers:
    """The breakers of all workers; of this process alone while Redis is away."""

    def __init__(
        self,
        link: RedisLink,
        on_change: OnChange = ignore,
        policy: BreakerPolicy | None = None,
    ) -> None:
        self._link = link
        self._on_change = on_change
        self._policy = policy or BreakerPolicy()
        self._own = ProcessBreakers(_wall_clock, on_change, self._policy)
        self._is_away = False

    def ask(self, name: str, version: str, is_last: bool = False) -> Leave | None:
        """Return leave to call, None if the breaker is open."""
        try:
            return self._try(lambda: self._apply(name, version, Asked(is_last)))
        except RedisGone:
            return self._own.ask(name, version, is_last)

    def end(self, name: str, ended: Ended) -> None:
        """Learn from a call that had leave."""
        try:
            self._try(lambda: self._apply(name, ended.leave.version, ended))
        except RedisGone:
            self._own.end(name, ended)

    def reset(self, name: str) -> None:
        """Close a breaker by hand."""
        self._own.reset(name)
        try:
            self._try(lambda: self._apply(name, None, WasReset()))
        except RedisGone:
            logger.warning("backend=%s reset here only: Redis is away", name)

    def read(self, names: Iterable[str]) -> Mapping[str, Standing]:
        """Return how backends stand."""
        names = list(names)
        try:
            return self._try(lambda: self._read(names))
        except RedisGone:
            return self._own.read(names)

    def _try(self, ask: Callable[[], Answer]) -> Answer:
        """Return what `ask` does with Redis; raises RedisGone, logged once."""
        try:
            answer = self._link.ask(ask)
        except RedisGone:
            if not self._is_away:
                logger.warning("breakers are this process's own: Redis is away")
            self._is_away = True
            raise
        if self._is_away:
            logger.warning("breakers are shared again")
            self._own.forget()
            self._is_away = False
        return answer

    def _apply(self, name: str, version: str | None, event: Event) -> Leave | None:
        key = PREFIX + name
        for _ in range(_MAX_TRIES):
            text, now_s = self._fetch(key)
            before = _read_record(text)
            after, done = before.apply(version, event, now_s, self._policy)
            if after == before or self._swap(key, text, after):
                self._tell(name, done)
                return done.leave
        raise RedisGone(f"{key} changes all the time")

    def _tell(self, name: str, done: Step) -> None:
        if done.change is not None:
            self._on_change(name, done.change, done.words)

    def _fetch(self, key: str) -> tuple[str, float]:
        """Return a record's text, empty if there is none, and what time it is."""
        with self._link.client.pipeline(transaction=False) as pipe:
            pipe.get(key)
            pipe.time()
            text, said = pipe.execute()
        return text or "", to_seconds(said)

    def _swap(self, key: str, before: str, after: Record) -> bool:
        text = json.dumps({"version": after.version, "health": dump(after.health)})
        swap = cast("Any", self._link.client.eval)
        return bool(swap(_SWAP, 1, key, before, text, _LIFETIME_S))

    def _read(self, names: list[str]) -> Mapping[str, Standing]:
        if not names:
            return {}
        with self._link.client.pipeline(transaction=False) as pipe:
            pipe.mget([PREFIX + name for name in names])
            pipe.time()
            texts, said = pipe.execute()
        now_s = to_seconds(said)
        return {
            name: describe(_read_record(text or "").health, now_s)
            for name, text in zip(names, texts, strict=True)
        }


def _read_record(text: str) -> Record:
    """Return a stored record; what another version of this software wrote is void."""
    try:
        values = json.loads(text)
        return Record(str(values["version"]), load(values["health"]))
    except (ValueError, TypeError, KeyError):
        return Record()

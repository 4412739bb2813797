"""The text of an unfinished reply, by offset.

A worker appends, consumers read from where they are. The buffer is fast and may be
lost; what survives a crash is the turn's checkpoint in the database.
"""

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast
from uuid import UUID

from django.conf import settings
from redis.commands.core import Script

from inference.redis_link import RedisGone, RedisLink, link_to
from support.models import Turn

_MAX_REPLIES = 10_000
# Above the time that a turn may take with all its claims.
_KEPT_S = 3600


# A channel of Redis and a message for it.
News = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class BufferedText:
    """The text of one attempt of a turn so far."""

    attempt: int
    text: str


class ReplyBuffer(Protocol):
    """Where the texts of unfinished replies are; nothing here raises."""

    def start(self, turn_id: UUID, attempt: int) -> None:
        """Begin an empty text; an older attempt's text is gone."""

    def append(
        self,
        turn_id: UUID,
        attempt: int,
        offset: int,
        text: str,
        news: News | None = None,
    ) -> bool:
        """Add `text` at code point `offset`; return whether it fitted.

        It also fits if just this was added last: a command may be sent twice. The
        beginning of a reply that is not buffered fits too, so that `start` is for
        those that begin again. False means that the attempt is not the current one or
        that the text before `offset` is not all here: the writer was replaced, or the
        buffer was lost. What fitted is published with `news`, if there is any.
        """

    def restore(self, turn_id: UUID, attempt: int, text: str) -> None:
        """Make `text` the whole text, unless the buffer knows a newer attempt."""

    def read(self, turn_id: UUID) -> BufferedText | None:
        """Return the text so far, or None if this turn is not buffered."""

    def discard(self, turn_id: UUID) -> None:
        """Forget a turn's text, because the whole reply is stored."""

    def clear(self) -> None:
        """Forget all texts."""


class MemoryReplyBuffer:
    """Keeps replies in this process: for embedded mode, where all threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replies: OrderedDict[UUID, tuple[int, list[str], int]] = OrderedDict()

    def start(self, turn_id: UUID, attempt: int) -> None:
        """Begin an empty text; an older attempt's text is gone."""
        with self._lock:
            current = self._replies.get(turn_id)
            if current is None or current[0] < attempt:
                self._begin(turn_id, attempt)

    def _begin(self, turn_id: UUID, attempt: int) -> None:
        self._replies[turn_id] = (attempt, [], 0)
        self._replies.move_to_end(turn_id)
        while len(self._replies) > _MAX_REPLIES:
            self._replies.popitem(last=False)

    def append(
        self,
        turn_id: UUID,
        attempt: int,
        offset: int,
        text: str,
        news: News | None = None,
    ) -> bool:
        """Add `text` at code point `offset`; return whether it fitted.

        It also fits if just this was added last: a command may be sent twice. The
        beginning of a reply that is not buffered fits too. False means that the
        attempt is not the current one or that the text before `offset` is not all
        here: the writer was replaced, or the buffer was lost.
        """
        if news is not None:
            raise ValueError("a buffer of one process publishes nothing")
        with self._lock:
            if turn_id not in self._replies and not offset:
                self._begin(turn_id, attempt)
            current = self._replies.get(turn_id)
            if current is None or current[0] != attempt:
                return False
            _, pieces, length = current
            end = offset + len(text)
            if length == end:
                return "".join(pieces)[offset:] == text
            if length != offset:
                return False
            pieces.append(text)
            self._replies[turn_id] = (attempt, pieces, end)
            return True

    def restore(self, turn_id: UUID, attempt: int, text: str) -> None:
        """Make `text` the whole text, unless the buffer knows a newer attempt."""
        with self._lock:
            current = self._replies.get(turn_id)
            if current is None or current[0] <= attempt:
                self._replies[turn_id] = (attempt, [text], len(text))

    def read(self, turn_id: UUID) -> BufferedText | None:
        """Return the text so far, or None if this turn is not buffered."""
        with self._lock:
            current = self._replies.get(turn_id)
            if current is None:
                return None
            attempt, pieces, _ = current
            text = "".join(pieces)
            self._replies[turn_id] = (attempt, [text], len(text))
            return BufferedText(attempt, text)

    def discard(self, turn_id: UUID) -> None:
        """Forget a turn's text, because the whole reply is stored."""
        with self._lock:
            self._replies.pop(turn_id, None)

    def clear(self) -> None:
        """Forget all texts."""
        with self._lock:
            self._replies.clear()


# Each is one step for Redis, so no other process comes between. ARGV[1] is the attempt.
_START = """
local current = redis.call('HGET', KEYS[1], 'attempt')
if not current or tonumber(current) < tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], 'attempt', ARGV[1], 'length', '0', 'text', '')
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return 1
"""
_APPEND = """
local current = redis.call('HMGET', KEYS[1], 'attempt', 'length', 'text')
if not current[1] and ARGV[2] == '0' then current = {ARGV[1], '0', ''} end
if current[1] ~= ARGV[1] then return 0 end
local size = #ARGV[4]
local is_last = size == 0 or string.sub(current[3], -size) == ARGV[4]
if current[2] ~= ARGV[3] or not is_last then
    if current[2] ~= ARGV[2] then return 0 end
    local text = current[3] .. ARGV[4]
    redis.call('HSET', KEYS[1], 'attempt', ARGV[1], 'length', ARGV[3], 'text', text)
    redis.call('EXPIRE', KEYS[1], ARGV[5])
end
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return 1
"""
_RESTORE = """
local current = redis.call('HGET', KEYS[1], 'attempt')
if not current or tonumber(current) <= tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], 'attempt', ARGV[1], 'length', ARGV[2], 'text', ARGV[3])
    redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return 1
"""


class RedisReplyBuffer:
    """Keeps replies in Redis, where every process finds them: one hash for each turn.

    Texts that nobody ends are gone after an hour. Without Redis nothing is buffered
    and readers get the checkpoints; the writer restores the text when it is back.
    """

    PREFIX = "support:reply:"

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._start = link.client.register_script(_START)
        self._append = link.client.register_script(_APPEND)
        self._restore = link.client.register_script(_RESTORE)

    def start(self, turn_id: UUID, attempt: int) -> None:
        """Begin an empty text; an older attempt's text is gone."""
        with suppress(RedisGone):
            self._run(self._start, turn_id, attempt, _KEPT_S)

    def append(
        self,
        turn_id: UUID,
        attempt: int,
        offset: int,
        text: str,
        news: News | None = None,
    ) -> bool:
        """Add `text` at code point `offset`; return whether it fitted.

        False also where Redis did not answer. With `news` this is one command
        instead of two: most of what a reply costs between its first and last word.
        """
        end = offset + len(text)
        arguments = (attempt, offset, end, text, _KEPT_S, *(news or ("", b"")))
        try:
            return self._run(self._append, turn_id, *arguments)
        except RedisGone:
            return False

    def restore(self, turn_id: UUID, attempt: int, text: str) -> None:
        """Make `text` the whole text, unless the buffer knows a newer attempt."""
        with suppress(RedisGone):
            self._run(self._restore, turn_id, attempt, len(text), text, _KEPT_S)

    def read(self, turn_id: UUID) -> BufferedText | None:
        """Return the text so far, or None if this turn is not buffered."""
        try:
            attempt, text = self._link.ask(lambda: self._fetch(turn_id))
        except RedisGone:
            return None
        return BufferedText(int(attempt), text or "") if attempt else None

    def discard(self, turn_id: UUID) -> None:
        """Forget a turn's text, because the whole reply is stored."""
        with suppress(RedisGone):
            self._link.ask(lambda: self._link.client.delete(self._key(turn_id)))

    def clear(self) -> None:
        """Forget all texts."""
        client = self._link.client
        with suppress(RedisGone):
            for key in self._link.ask(
                lambda: list(client.scan_iter(f"{self.PREFIX}*"))
            ):
                self._link.ask(partial(client.delete, key))

    def _fetch(self, turn_id: UUID) -> list[str | None]:
        found = self._link.client.hmget(self._key(turn_id), ["attempt", "text"])
        return cast("list[str | None]", found)

    def _key(self, turn_id: UUID) -> str:
        return f"{self.PREFIX}{turn_id.hex}"

    def _run(
        self, script: Script, turn_id: UUID, *arguments: str | bytes | int
    ) -> bool:
        """Run a script on the turn's hash; the first argument is the attempt."""
        keys = [self._key(turn_id)]
        return bool(self._link.ask(lambda: script(keys=keys, args=arguments)))


def build_reply_buffer(url: str) -> ReplyBuffer:
    """Return the buffer that a REPLY_BUFFER_URL names."""
    if url.startswith("memory:"):
        return MemoryReplyBuffer()
    return RedisReplyBuffer(link_to(url))


reply_buffer = build_reply_buffer(settings.REPLY_BUFFER_URL)


def read_reply(turn: Turn) -> BufferedText:
    """Return the reply's text so far: from the buffer, else from the checkpoint."""
    buffered = reply_buffer.read(turn.id)
    if buffered is not None and buffered.attempt == turn.attempt:
        return buffered
    if turn.checkpoint_attempt == turn.attempt:
        return BufferedText(turn.attempt, turn.checkpoint)
    return BufferedText(turn.attempt, "")

"""The text of an unfinished reply, by offset.

A worker appends, consumers read from where they are. The buffer is fast and may be
lost; what survives a crash is the turn's checkpoint in the database.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from support.models import Turn

_MAX_REPLIES = 10_000


@dataclass(frozen=True, slots=True)
class BufferedText:
    """The text of one attempt of a turn so far."""

    attempt: int
    text: str


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
                self._replies[turn_id] = (attempt, [], 0)
                self._replies.move_to_end(turn_id)
            while len(self._replies) > _MAX_REPLIES:
                self._replies.popitem(last=False)

    def append(self, turn_id: UUID, attempt: int, offset: int, text: str) -> bool:
        """Add `text` at code point `offset`; return whether it fitted.

        False means that the attempt is not the current one or that the text before
        `offset` is not all here: the writer was replaced, or the buffer was lost.
        """
        with self._lock:
            current = self._replies.get(turn_id)
            if current is None or current[0] != attempt or current[2] != offset:
                return False
            current[1].append(text)
            self._replies[turn_id] = (attempt, current[1], offset + len(text))
            return True

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


reply_buffer = MemoryReplyBuffer()


def read_reply(turn: Turn) -> BufferedText:
    """Return the reply's text so far: from the buffer, else from the checkpoint."""
    buffered = reply_buffer.read(turn.id)
    if buffered is not None and buffered.attempt == turn.attempt:
        return buffered
    if turn.checkpoint_attempt == turn.attempt:
        return BufferedText(turn.attempt, turn.checkpoint)
    return BufferedText(turn.attempt, "")

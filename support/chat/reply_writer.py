"""Writes a reply as it grows: buffer, checkpoint and events, by character offset."""

import logging
import threading
from time import monotonic
from typing import Self

from django.conf import settings
from django.db import close_old_connections

from support.chat import events, turns
from support.chat.patience import GONE, outlast
from support.chat.reply_buffer import reply_buffer
from support.chat.threads import give_back_connection
from support.models import Turn

logger = logging.getLogger(__name__)

# Text is collected for so long, and a process flushes so many texts a second at most:
# above 40 replies at once each is written in larger pieces, up to the longest.
_FLUSH_INTERVAL_S = 0.04
_FLUSHES_PER_S = 1000
_LONGEST_INTERVAL_S = 0.15
_CHECKPOINT_INTERVAL_S = 1.0
# a try takes 5 s, in which no text comes
_CHECKPOINT_PAUSE_S = 10.0


def flush_interval_s(num_replies: int) -> float:
    """Return how long text is collected while so many replies are being written.

    An update costs a worker and a web process the same whether it brings one word or
    six. So a busy process sends larger pieces rather than late ones.
    """
    wanted_s = num_replies / _FLUSHES_PER_S
    return min(max(_FLUSH_INTERVAL_S, wanted_s), _LONGEST_INTERVAL_S)


class TurnLost(Exception):  # noqa: N818 - says what happened
    """Another worker has the turn; nothing more may be written."""


class ReplyWriter:
    """The growing text of one claimed turn; a context, left when the reply is over.

    Deltas are collected for 40 ms and more, the first goes out at once. Raises
    TurnLost as soon as it learns that the turn was taken away.
    """

    _lock = threading.Lock()
    _num_open = 0

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._written = ""
        self._waiting: list[str] = []
        self._flushed_s = float("-inf")
        self._saved_s = monotonic()

    def __enter__(self) -> Self:
        with self._lock:
            ReplyWriter._num_open += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            ReplyWriter._num_open -= 1

    @property
    def text(self) -> str:
        """Return all text of this attempt."""
        return self._written + "".join(self._waiting)

    def write(self, text: str) -> None:
        """Add a delta; spaces before the first word are dropped.

        So is the character NUL, which Postgres stores in no text.
        """
        text = text.replace("\0", "")
        if not self.text:
            text = text.lstrip()
        self._waiting.append(text)
        now_s = monotonic()
        if now_s - self._flushed_s >= flush_interval_s(self._num_open):
            self.flush()
        if now_s - self._saved_s >= _CHECKPOINT_INTERVAL_S:
            self._saved_s = now_s
            self._save()

    def _save(self) -> None:
        """Keep the text so far; without a database the reply goes on unsaved."""
        try:
            is_ours = turns.save_checkpoint(self._turn, self._written)
            give_back_connection()
        except GONE as error:
            logger.warning("turn=%s is not saved: %s", self._turn.id, error)
            close_old_connections()
            self._saved_s = monotonic() + _CHECKPOINT_PAUSE_S
        else:
            if not is_ours:
                raise TurnLost

    def flush(self) -> None:
        """Send what is waiting to everybody who looks."""
        text, offset = "".join(self._waiting), len(self._written)
        self._waiting.clear()
        self._flushed_s = monotonic()
        if not text:
            return
        turn = self._turn
        self._written += text
        frame = events.text_arrived(turn.id, turn.attempt, offset, text)
        news = None
        if settings.REPLY_BUFFER_URL == settings.CHANNEL_LAYER_URL:
            news = events.as_news(turn.conversation_id, frame)
        if not reply_buffer.append(turn.id, turn.attempt, offset, text, news):
            # it was lost, or missed something; a newer attempt's text stays
            reply_buffer.restore(turn.id, turn.attempt, self._written)
        elif news is not None:
            return
        events.publish(turn.conversation_id, frame)

    def reset(self) -> None:
        """Void the text in the open: what comes next is a new attempt at offset 0."""
        if not outlast(lambda: turns.begin_again(self._turn)):
            raise TurnLost
        self._written, self._flushed_s = "", float("-inf")
        self._waiting.clear()
        turn = self._turn
        events.publish(turn.conversation_id, events.reply_reset(turn.id, turn.attempt))

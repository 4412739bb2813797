"""Writes a reply as it grows: buffer, checkpoint and events, by character offset."""

import logging
from time import monotonic

from django.db import close_old_connections

from support.chat import events, turns
from support.chat.patience import GONE, outlast
from support.chat.reply_buffer import reply_buffer
from support.models import Turn

logger = logging.getLogger(__name__)

_FLUSH_INTERVAL_S = 0.04
_CHECKPOINT_INTERVAL_S = 1.0
# a try takes 5 s, in which no text comes
_CHECKPOINT_PAUSE_S = 10.0


class TurnLost(Exception):  # noqa: N818 - says what happened
    """Another worker has the turn; nothing more may be written."""


class ReplyWriter:
    """The growing text of one claimed turn.

    Deltas are collected for 40 ms, the first goes out at once. Raises TurnLost as
    soon as it learns that the turn was taken away.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._written = ""
        self._waiting: list[str] = []
        self._flushed_s = float("-inf")
        self._saved_s = monotonic()

    @property
    def text(self) -> str:
        """Return all text of this attempt."""
        return self._written + "".join(self._waiting)

    def write(self, text: str) -> None:
        """Add a delta; spaces before the first word are dropped."""
        if not self.text:
            text = text.lstrip()
        self._waiting.append(text)
        now_s = monotonic()
        if now_s - self._flushed_s >= _FLUSH_INTERVAL_S:
            self.flush()
        if now_s - self._saved_s >= _CHECKPOINT_INTERVAL_S:
            self._saved_s = now_s
            self._save()

    def _save(self) -> None:
        """Keep the text so far; without a database the reply goes on unsaved."""
        try:
            is_ours = turns.save_checkpoint(self._turn, self._written)
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
        if not reply_buffer.append(turn.id, turn.attempt, offset, text):
            # it was lost, or missed something; a newer attempt's text stays
            reply_buffer.restore(turn.id, turn.attempt, self._written)
        events.publish(
            turn.conversation_id,
            events.text_arrived(turn.id, turn.attempt, offset, text),
        )

    def reset(self) -> None:
        """Void the text in the open: what comes next is a new attempt at offset 0."""
        if not outlast(lambda: turns.begin_again(self._turn)):
            raise TurnLost
        self._written, self._flushed_s = "", float("-inf")
        self._waiting.clear()
        turn = self._turn
        events.publish(turn.conversation_id, events.reply_reset(turn.id, turn.attempt))

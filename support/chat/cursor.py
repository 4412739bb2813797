"""How far one client is, and which frames take it further.

No socket and no database: events and reads go in, frames come out. What a client
makes of them is section 4 of docs/protocol.md.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from support.chat import events
from support.chat.events import Frame
from support.chat.selectors import OpenTurn, Progress


@dataclass(slots=True)
class ShownReply:
    """How much of which reply a client shows; `offset` counts code points."""

    turn: str = ""
    attempt: int = 0
    offset: int = 0


class Cursor:
    """What one client has been sent: messages by `seq`, the running reply by offset.

    Both methods that return frames count them as sent, in the order of the calls.
    Whatever events are lost, late or doubled, a `catch_up` leaves the client with
    what a new one would show.
    """

    def __init__(self, status: str = "", reply: ShownReply | None = None) -> None:
        self.seq = 0
        self._status = status
        self._reply = reply or ShownReply()
        self._open_turns: set[str] = set()

    @property
    def has_open_turns(self) -> bool:
        """Return whether text may come whose event is lost."""
        return bool(self._open_turns)

    def expect(self, turn: str) -> None:
        """Look after a turn from here on, whatever becomes of its events."""
        self._open_turns.add(turn)

    def forward(self, frame: Frame) -> list[Frame] | None:
        """Return what to send of an event; None if the client lacks what precedes it.

        After None comes a `catch_up`, which makes up for this event too.
        """
        kind = frame["type"]
        if kind in ("message", "done"):
            return self._forward_message(frame)
        if kind == "delta":
            return self._forward_delta(frame)
        if kind in ("turn", "reset"):
            return None if self._is_out_of_line(frame) else self._begin(frame)
        if kind == "status":
            self._status = str(frame["status"])
        return [frame]

    def catch_up(self, progress: Progress) -> list[Frame]:
        """Return what the client lacks of a progress that was read after `seq`."""
        sent: list[Frame] = []
        if progress.status != self._status:
            self._status = progress.status
            sent.append(events.status_changed(progress.status))
        sent += progress.frames
        self.seq = progress.last_seq
        self._open_turns = {str(item.turn.id) for item in progress.open_turns}
        for item in progress.open_turns:
            sent += self._show_open_turn(item)
        return sent

    def _forward_message(self, frame: Any) -> list[Frame] | None:
        seq = frame["message"]["seq"]
        if seq > self.seq + 1:
            return None
        if seq <= self.seq:
            return []
        self.seq = seq
        self._open_turns.discard(frame.get("turn", ""))
        return [frame]

    def _forward_delta(self, frame: Any) -> list[Frame] | None:
        reply = self._reply
        is_current = (frame["turn"], frame["attempt"]) == (reply.turn, reply.attempt)
        if not is_current or frame["offset"] > reply.offset:
            return None
        if frame["offset"] < reply.offset:
            return []
        reply.offset += len(frame["text"])
        return [frame]

    def _is_out_of_line(self, frame: Any) -> bool:
        """Return whether a turn is said to run while another one's reply is shown.

        Either that one's end was lost, or this is an old event that was held up: to
        follow it would be to forget what the client shows.
        """
        shown = self._reply.turn
        is_another = bool(frame["attempt"]) and frame["turn"] != shown
        return is_another and shown in self._open_turns

    def _begin(self, frame: Any) -> list[Frame]:
        """Return what to send when a turn waits, runs, or begins again."""
        turn, attempt = frame["turn"], frame["attempt"]
        self._open_turns.add(turn)
        is_known = turn == self._reply.turn
        if attempt and (not is_known or attempt > self._reply.attempt):
            had_text = is_known and self._reply.attempt > 0
            self._reply = ShownReply(turn, attempt)
            if had_text and frame["type"] == "turn":
                return [events.reply_reset(UUID(turn), attempt), frame]
        elif is_known and (attempt < self._reply.attempt or frame["type"] == "reset"):
            return []  # the client is further on already
        return [frame]

    def _show_open_turn(self, item: OpenTurn) -> list[Frame]:
        turn, attempt, text = item.turn, item.turn.attempt, item.reply.text
        sent = [events.turn_changed(turn, turn.question.seq)]
        if not attempt:
            return sent
        reply = self._reply
        is_current = (str(turn.id), attempt) == (reply.turn, reply.attempt)
        if not is_current or reply.offset > len(text):
            if reply.turn == str(turn.id) and (reply.attempt or reply.offset):
                sent.append(events.reply_reset(turn.id, attempt))
            self._reply = reply = ShownReply(str(turn.id), attempt)
        rest = text[reply.offset :]
        if rest:
            sent.append(events.text_arrived(turn.id, attempt, reply.offset, rest))
            reply.offset += len(rest)
        return sent

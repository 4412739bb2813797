"""What a load test measures: numbers by the message, and errors by their kind."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

from support.management.loadtest.screen import Frame


def _numbers() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class Measures:
    """One run's numbers, in milliseconds unless the name says another unit.

    Texts whose reply was interrupted, begun again, or read again after a lost socket
    count as text and as replies, and in no time but that of the whole reply.
    """

    open_ms: "array[float]" = field(default_factory=_numbers)
    reopen_ms: "array[float]" = field(default_factory=_numbers)
    ack_ms: "array[float]" = field(default_factory=_numbers)
    first_ms: "array[float]" = field(default_factory=_numbers)
    reply_ms: "array[float]" = field(default_factory=_numbers)
    gap_ms: "array[float]" = field(default_factory=_numbers)
    added_gap_ms: "array[float]" = field(default_factory=_numbers)
    added_ms: "array[float]" = field(default_factory=_numbers)
    words_per_s: "array[float]" = field(default_factory=_numbers)
    lag_ms: "array[float]" = field(default_factory=_numbers)
    states: "Counter[str]" = field(default_factory=Counter)
    notices: "Counter[str]" = field(default_factory=Counter)
    errors: "Counter[str]" = field(default_factory=Counter)
    num_conversations: int = 0
    num_unchecked: int = 0
    num_sent: int = 0
    num_acked: int = 0
    num_marked: int = 0
    num_resets: int = 0
    num_dropped: int = 0
    num_words: int = 0
    num_characters: int = 0


class ReplyClock:
    """Times one message: its acknowledgement, the texts of the reply, the end.

    `words_per_s` is the pace of the backend, if it is known: the nth word of a reply
    could then be there n / pace after the message, if all else took no time.
    """

    def __init__(self, measures: Measures, words_per_s: float, sent_s: float) -> None:
        self._measures = measures
        self._words_per_s = words_per_s
        self._sent_s = sent_s
        self._last_s: float | None = None
        self._first_s = 0.0
        self._num_words = 0
        self._is_plain = True
        self.num_texts = 0

    def interrupt(self) -> None:
        """Time no more texts of this reply: what follows comes in another way."""
        self._is_plain = False

    def acknowledge(self, at_s: float) -> None:
        """The message is stored for good."""
        self._measures.num_acked += 1
        self._measures.ack_ms.append(_ms(at_s - self._sent_s))

    def read(self, frame: Frame, at_s: float) -> None:
        """Take the time of a frame that came while the reply is waited for."""
        if frame["type"] == "reset":
            self._measures.num_resets += 1
            self.interrupt()
        elif frame["type"] == "delta":
            self._read_text(frame["text"], at_s)

    def end(self, done: Frame, at_s: float, mark: str) -> None:
        """The reply is whole; `mark` is what it may be recognised by."""
        measures, content = self._measures, done["message"]["content"]
        measures.states[done["state"]] += 1
        if done["message"]["notice"]:
            measures.notices[done["message"]["notice"]] += 1
        measures.reply_ms.append(_ms(at_s - self._sent_s))
        measures.num_words += len(content.split())
        measures.num_characters += len(content)
        measures.num_marked += mark in content.lower()
        if self._is_plain and self._last_s is not None and self._num_words > 1:
            took_s = self._last_s - self._first_s
            if took_s > 0:
                measures.words_per_s.append((self._num_words - 1) / took_s)

    def _read_text(self, text: str, at_s: float) -> None:
        self.num_texts += 1
        num_words = len(text.split())
        self._num_words += num_words
        if self._is_plain:
            self._time_text(num_words, at_s)
        self._last_s = at_s

    def _time_text(self, num_words: int, at_s: float) -> None:
        measures, pace = self._measures, self._words_per_s
        if self._last_s is None:
            self._first_s = at_s
            measures.first_ms.append(_ms(at_s - self._sent_s))
        else:
            gap_s = at_s - self._last_s
            measures.gap_ms.append(_ms(gap_s))
            if pace:
                measures.added_gap_ms.append(_ms(gap_s - num_words / pace))
        if pace:
            due_s = self._sent_s + self._num_words / pace
            measures.added_ms.append(_ms(at_s - due_s))


def _ms(seconds: float) -> float:
    return seconds * 1000

"""Turns the bytes of tokens into text that may be shown.

Holds back what is not yet certain: the first bytes of a character, what may be the
beginning of a reasoning section, and text that may turn out to be the beginning of a
stop string.
"""

import codecs
from collections.abc import Iterable

from inference.engine.reasoning import Reasoning


class Detokenizer:
    """The text of one sequence as it grows.

    `stop` strings end the text before they begin; of several that are complete with
    the same token, the one that begins first counts. What `reasoning` keeps out is not
    searched for them. Bytes that are no UTF-8 become U+FFFD; an unfinished character
    at the end is dropped.
    """

    def __init__(
        self, stop: Iterable[str] = (), reasoning: Reasoning | None = None
    ) -> None:
        self._stop = tuple(stop)
        self._reasoning = reasoning
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.is_stopped = False

    def push(self, piece: bytes) -> str:
        """Return the text that became certain with the next token; often empty."""
        if self.is_stopped:
            return ""
        text = self._decoder.decode(piece)
        return self._add(self._reasoning.take(text) if self._reasoning else text)

    def finish(self) -> str:
        """Return what was held back, now that no token follows."""
        if self.is_stopped:
            return ""
        text = self._add(self._reasoning.finish()) if self._reasoning else ""
        return text if self.is_stopped else text + self._release(len(self._held))

    def _add(self, text: str) -> str:
        """Return what is certain once `text` has come."""
        self._held += text
        starts = [self._held.find(stop) for stop in self._stop]
        found = [start for start in starts if start >= 0]
        if found:
            self.is_stopped = True
            return self._release(min(found))
        return self._release(len(self._held) - self._count_doubtful())

    def _release(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        return text

    def _count_doubtful(self) -> int:
        """Return the length of the longest ending that begins a stop string."""
        longest = max(map(len, self._stop), default=0) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            ending = self._held[-length:]
            if any(stop.startswith(ending) for stop in self._stop):
                return length
        return 0

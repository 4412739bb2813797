"""What has come of one call to an API so far, whatever its dialect.

Read with care: the types of an SDK are a promise, and it does not check them.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace

from inference.engine.detokenizer import Detokenizer
from inference.errors import Interrupted, InvalidResponse, Timeout
from inference.types import Completion, DeadlineKind, FinishReason, Usage

# what the ledger has room for
MAX_NAME_CHARS = 200
# ten thousand books: no model reads them in one call
_MOST_TOKENS = 1_000_000_000


class Answer(ABC):
    """The stream of one call as it is read; `take` gets its events in order.

    `usage` is what the provider counted so far, None if nothing. `stop` strings end the
    text here too: not every model takes them.
    """

    def __init__(self, model: str, stop: Iterable[str] = ()) -> None:
        self.model = model
        self.request_id = ""
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None
        self._stop = Detokenizer(stop)
        self._half = ""
        self._last_s = time.monotonic()
        self._has_text = False

    @abstractmethod
    def read(self, event: object) -> str:
        """Return an event's text, maybe empty, and note what else it says.

        What a model thinks before it answers is not part of it. The words of a refusal
        are. Raises InvalidResponse, and Interrupted where it says that it broke off.
        """

    def take(self, event: object) -> str:
        """Return the text of an event that may be shown; raises as `read` does."""
        return self._show(self._stop.push(self._mend(self.read(event)).encode()))

    def finish(self) -> str:
        """Return what was held back as it might have begun a stop string."""
        return self._show(self._stop.finish())

    @property
    def is_stopped(self) -> bool:
        """Return whether a stop string came, after which nothing is to be read."""
        return self._stop.is_stopped

    @property
    def usage_so_far(self) -> Usage | None:
        """Return the counts; marked as estimated unless they are the last."""
        if self.usage is None or self.finish_reason is not None:
            return self.usage
        return replace(self.usage, is_estimated=True)

    def build_completion(self) -> Completion:
        """Return how the call ended; raises Interrupted, InvalidResponse.

        The finish reason is the end mark that counts: some servers send no other.
        """
        if self.is_stopped:
            self.usage = self.usage_so_far
            return self._complete(FinishReason.STOP)
        if self.finish_reason is None:
            raise Interrupted("the stream ended without a finish reason")
        if not self._has_text and self.finish_reason is FinishReason.LENGTH:
            raise InvalidResponse("all tokens were used before the answer began")
        if not self._has_text and self.finish_reason is FinishReason.STOP:
            raise InvalidResponse("the answer is empty")
        return self._complete(self.finish_reason)

    def build_cancelled(self) -> Completion:
        """Return the end of a call that was cancelled, with what is known of it."""
        self.usage = self.usage_so_far
        return self._complete(FinishReason.CANCELLED)

    def build_timeout(self, is_connecting: bool) -> Timeout:
        """Return the error of a wait on the socket that was too long."""
        waited_s = time.monotonic() - self._last_s
        if is_connecting:
            return Timeout(DeadlineKind.CONNECT, waited_s)
        kind = DeadlineKind.GAP if self._has_text else DeadlineKind.FIRST_TOKEN
        return Timeout(kind, waited_s)

    def _mend(self, text: str) -> str:
        """Return what can be stored of a text: no NUL, and no half of a character.

        Servers cut JSON strings between the two halves of an emoji; they are joined.
        """
        text = self._half + text.replace("\0", "")
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        whole = text[: len(text) - len(self._half)]
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _show(self, text: str) -> str:
        if text:
            self._has_text = True
            self._last_s = time.monotonic()
        return text

    def _complete(self, reason: FinishReason) -> Completion:
        return Completion(reason, self.usage, self.model, request_id=self.request_id)


def read_field(value: object, name: str) -> object:
    """Return a field of something a server sent, None if there is none."""
    if isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)


def read_text(value: object, name: str) -> str:
    """Return a field that is a text, else an empty one."""
    text = read_field(value, name)
    return text if isinstance(text, str) else ""


def read_name(value: object, name: str) -> str:
    """Return a field that names something, fit to be stored: one short line."""
    text = read_text(value, name)[:MAX_NAME_CHARS]
    return "".join(char for char in text if char.isprintable())


def read_count(value: object, name: str) -> int | None:
    """Return a field that is a count of tokens and may be true, else None."""
    count = read_field(value, name)
    if not isinstance(count, int) or isinstance(count, bool):
        return None
    return count if 0 <= count <= _MOST_TOKENS else None


def build_usage(
    prompt_tokens: int,
    completion_tokens: int,
    *,
    cached: int | None = None,
    cache_written: int | None = None,
    reasoned: int | None = None,
) -> Usage:
    """Return the usage of a call; its parts are at most as large as the whole."""
    cached_tokens = min(cached or 0, prompt_tokens)
    return Usage(
        prompt_tokens,
        completion_tokens,
        cached_tokens=cached_tokens,
        reasoning_tokens=min(reasoned or 0, completion_tokens),
        cache_write_tokens=min(cache_written or 0, prompt_tokens - cached_tokens),
    )

"""What the stream of one chat completion says.

Read with care: the types of the SDK are a promise, and it does not check them.
"""

import time
from collections.abc import Mapping

import httpx2
from openai.types.chat import ChatCompletionChunk

from inference.errors import Interrupted, InvalidResponse, Timeout
from inference.types import Completion, DeadlineKind, FinishReason, Usage

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}


class Answer:
    """What has come of one call so far."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None
        self._last_s = time.monotonic()
        self._has_begun = False
        self._has_text = False
        self._is_refusal = False

    @property
    def has_begun(self) -> bool:
        """Return whether the server accepted the call."""
        return self._has_begun

    def begin(self, response: httpx2.Response) -> None:
        """Note that the server accepted; raises InvalidResponse if not to stream."""
        self._has_begun = True
        content_type = response.headers.get("content-type", "text/event-stream")
        if not content_type.lower().startswith("text/event-stream"):
            raise InvalidResponse(
                f"the answer is no event stream but {content_type[:60]!r}; "
                "is the endpoint right?"
            )

    def take(self, chunk: object) -> str:
        """Return a chunk's text, maybe empty; raises InvalidResponse.

        What a model thinks before it answers is not part of it. The words of a
        refusal are.
        """
        if not isinstance(chunk, ChatCompletionChunk):
            raise InvalidResponse("an event of the stream is not an object")
        self.model = _read_text(chunk, "model") or self.model
        self.usage = _read_usage(read_field(chunk, "usage")) or self.usage
        choice = _read_choice(chunk)
        delta = read_field(choice, "delta")
        refusal = _read_text(delta, "refusal")
        text = _read_text(delta, "content") + refusal
        if text:
            self._has_text = True
            self._last_s = time.monotonic()
        self._is_refusal = self._is_refusal or bool(refusal)
        if reason := _read_text(choice, "finish_reason"):
            # Some servers have words of their own for a good end ("eos", "end_turn").
            self.finish_reason = _FINISH_REASONS.get(reason, FinishReason.STOP)
        return text

    def build_completion(self) -> Completion:
        """Return how the call ended; raises Interrupted, InvalidResponse.

        The finish reason is the end mark that counts: some servers send no `[DONE]`.
        """
        if self.finish_reason is None:
            raise Interrupted("the stream ended without a finish reason")
        reason = FinishReason.CONTENT_FILTER if self._is_refusal else self.finish_reason
        if not self._has_text and reason is FinishReason.LENGTH:
            raise InvalidResponse("all tokens were used before the answer began")
        if not self._has_text and reason is FinishReason.STOP:
            raise InvalidResponse("the answer is empty")
        return Completion(reason, self.usage, self.model)

    def build_timeout(self, is_connecting: bool) -> Timeout:
        """Return the error of a wait on the socket that was too long."""
        waited_s = time.monotonic() - self._last_s
        if is_connecting:
            return Timeout(DeadlineKind.CONNECT, waited_s)
        kind = DeadlineKind.GAP if self._has_text else DeadlineKind.FIRST_TOKEN
        return Timeout(kind, waited_s)


def read_field(value: object, name: str) -> object:
    """Return a field of something a server sent, None if there is none."""
    if isinstance(value, Mapping):
        return value.get(name)
    return getattr(value, name, None)


def _read_text(value: object, name: str) -> str:
    text = read_field(value, name)
    return text if isinstance(text, str) else ""


def _read_count(value: object, name: str) -> int | None:
    count = read_field(value, name)
    return count if isinstance(count, int) and count >= 0 else None


def _read_choice(chunk: object) -> object:
    """Return the first answer's part; None in chunks that hold none, as usage does."""
    choices = read_field(chunk, "choices")
    if not isinstance(choices, list):
        return None
    return next((c for c in choices if not read_field(c, "index")), None)


def _read_usage(value: object) -> Usage | None:
    prompt_tokens = _read_count(value, "prompt_tokens")
    completion_tokens = _read_count(value, "completion_tokens")
    if prompt_tokens is None or completion_tokens is None:
        return None
    details = read_field(value, "prompt_tokens_details")
    cached_tokens = _read_count(details, "cached_tokens") or 0
    details = read_field(value, "completion_tokens_details")
    reasoning_tokens = _read_count(details, "reasoning_tokens") or 0
    return Usage(
        prompt_tokens,
        completion_tokens,
        min(cached_tokens, prompt_tokens),
        min(reasoning_tokens, completion_tokens),
    )

"""What Anthropic's messages API says of one message: its stream and its errors."""

from collections.abc import Mapping

import anthropic

from inference.backends.api_answer import (
    Answer,
    build_usage,
    read_count,
    read_field,
    read_name,
    read_text,
)
from inference.backends.statuses import error_of_status
from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    BackendError,
    Interrupted,
    Misconfigured,
    Overloaded,
    PromptTooLong,
    RequestRejected,
    Unavailable,
)
from inference.types import FinishReason

# "tool_use" and "pause_turn" do not come: it is given no tools
_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}

_BY_TYPE: Mapping[str, type[BackendError]] = {
    "authentication_error": AuthenticationFailed,
    "permission_error": AuthenticationFailed,
    "billing_error": AccountExhausted,
    "not_found_error": Misconfigured,
    "rate_limit_error": Overloaded,
    "overloaded_error": Overloaded,
    "timeout_error": Unavailable,
    "request_too_large": PromptTooLong,
    "invalid_request_error": RequestRejected,
}
# Told by words alone, under types of a wider meaning.
_BY_WORDS: tuple[tuple[str, type[BackendError]], ...] = (
    ("prompt is too long", PromptTooLong),
    ("exceed context limit", PromptTooLong),
    ("credit balance is too low", AccountExhausted),
    ("spend_limit_reached", AccountExhausted),
    ("organization_on_hold", AccountExhausted),
)
_COUNTS = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
)


class AnthropicAnswer(Answer):
    """What has come of one message so far.

    The first event counts the prompt, the last the reply; each repeats what it knows.
    """

    def __init__(self, model: str, stop: tuple[str, ...] = ()) -> None:
        super().__init__(model, stop)
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._thought_tokens = 0

    def read(self, event: object) -> str:
        """Return the text of an event; what is thought or signed is none of it."""
        match read_text(event, "type"):
            case "message_start":
                message = read_field(event, "message")
                self.model = read_name(message, "model") or self.model
                self.request_id = self.request_id or read_name(message, "id")
                self._count(read_field(message, "usage"))
            case "content_block_start":
                return read_text(read_field(event, "content_block"), "text")
            case "content_block_delta":
                return read_text(read_field(event, "delta"), "text")
            case "message_delta":
                self._count(read_field(event, "usage"))
                reason = read_text(read_field(event, "delta"), "stop_reason")
                if reason:
                    self.finish_reason = _FINISH_REASONS.get(reason, FinishReason.STOP)
        return ""

    def _count(self, said: object) -> None:
        """Take in counts; those of the cache are apart there, and parts here."""
        found = {name: read_count(said, name) for name in _COUNTS}
        self._counts |= {name: n for name, n in found.items() if n is not None}
        details = read_field(said, "output_tokens_details")
        thought = read_count(details, "thinking_tokens")
        self._thought_tokens = self._thought_tokens if thought is None else thought
        if all(count is None for count in found.values()):
            return
        counts = self._counts
        read = counts["cache_read_input_tokens"]
        written = counts["cache_creation_input_tokens"]
        self.usage = build_usage(
            counts["input_tokens"] + read + written,
            counts["output_tokens"],
            cached=read,
            cache_written=written,
            reasoned=self._thought_tokens,
        )


def error_of_answer(
    error: anthropic.APIStatusError, said: str, wait_s: float | None
) -> BackendError:
    """Return what an error means, as an answer's status or as an event of a stream.

    An event comes after the status 200: its type alone says what happened.
    """
    status = error.status_code
    is_event = status < 300
    message = f"in the stream: {said}" if is_event else f"status {status}: {said}"
    found = _find(error, said)
    if found is Overloaded:
        return Overloaded(message, wait_s)
    if found is PromptTooLong:
        return PromptTooLong(message=message)
    if found is not None:
        return found(message)
    if is_event:
        return Interrupted(message)
    return error_of_status(status, message if said else f"status {status}", wait_s)


def read_message(body: object) -> str:
    """Return the words of an error's body."""
    inner = read_field(body, "error")
    return read_text(inner, "message") or read_text(body, "message") or str(body or "")


def _find(error: anthropic.APIStatusError, said: str) -> type[BackendError] | None:
    inner = read_field(error.body, "error")
    words = f"{said} {error.error_code or ''}".lower()
    for marks, found in _BY_WORDS:
        if marks in words:
            return found
    return _BY_TYPE.get(read_text(inner, "type"))

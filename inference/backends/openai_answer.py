"""What OpenAI's protocol says of one chat completion: its stream and its errors."""

import openai
from openai.types.chat import ChatCompletionChunk

from inference.backends.api_answer import (
    Answer,
    build_usage,
    read_count,
    read_field,
    read_name,
    read_text,
)
from inference.backends.statuses import ContentRefused, error_of_status
from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    BackendError,
    Interrupted,
    InvalidResponse,
    Misconfigured,
    Overloaded,
    PromptTooLong,
    RequestRejected,
)
from inference.types import FinishReason, Usage

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,  # Mistral's, for a full context
    "content_filter": FinishReason.CONTENT_FILTER,
}
# by which vLLM, OpenRouter and Mistral say that they broke off
_BROKEN_REASONS = {"error", "abort"}

# What a word in an error's code or type means, whatever its status. Servers that speak
# the protocol have words of their own: vLLM, llama-server, Groq, Azure, OpenRouter.
_BY_WORD: tuple[tuple[str, type[BackendError]], ...] = (
    ("insufficient_quota", AccountExhausted),
    ("billing", AccountExhausted),
    ("insufficient_credits", AccountExhausted),
    ("invalid_api_key", AuthenticationFailed),
    ("account_deactivated", AuthenticationFailed),
    ("model_not_found", Misconfigured),
    ("model_decommissioned", Misconfigured),
    ("deploymentnotfound", Misconfigured),
    ("context_length", PromptTooLong),
    ("exceed_context_size", PromptTooLong),
    ("content_filter", ContentRefused),
    ("content_policy_violation", ContentRefused),
)
# and what it means in an event of the stream, which has no status
_BY_WORD_OF_EVENT: tuple[tuple[str, type[BackendError]], ...] = (
    *_BY_WORD,
    ("rate_limit", Overloaded),
    ("overload", Overloaded),
    ("quota", Overloaded),
    ("invalid_request", RequestRejected),
)
_TOO_LONG_WORDS = ("maximum context length", "exceeds the available context size")


class OpenAIAnswer(Answer):
    """What has come of one chat completion so far."""

    _is_refusal = False

    def read(self, event: object) -> str:
        """Return a chunk's text, maybe empty; raises InvalidResponse, Interrupted."""
        if not isinstance(event, ChatCompletionChunk):
            raise InvalidResponse("an event of the stream is not an object")
        self.model = read_name(event, "model") or self.model
        self.request_id = self.request_id or read_name(event, "id")
        self.usage = _read_usage(read_field(event, "usage")) or self.usage
        choice = _read_choice(event)
        delta = read_field(choice, "delta")
        refusal = read_text(delta, "refusal")
        self._is_refusal = self._is_refusal or bool(refusal)
        reason = read_text(choice, "finish_reason")
        if reason in _BROKEN_REASONS:
            raise Interrupted(f"the server ended its answer with {reason!r}")
        if reason:
            # Some servers have words of their own for a good end ("eos", "end_turn").
            self.finish_reason = _FINISH_REASONS.get(reason, FinishReason.STOP)
        if self._is_refusal and self.finish_reason is not None:
            self.finish_reason = FinishReason.CONTENT_FILTER
        return read_text(delta, "content") + refusal


def error_of_refusal(
    error: openai.APIStatusError, said: str, wait_s: float | None
) -> BackendError:
    """Return what an answer with an error's status means; `said` are its words."""
    status = error.status_code
    message = f"status {status}: {said}" if said else f"status {status}"
    found = _find(_BY_WORD, error, said)
    if found is None or (status == 429 and found is PromptTooLong):
        return error_of_status(status, message, wait_s)
    return _build(found, message)


def error_of_event(error: openai.APIError, said: str) -> BackendError:
    """Return the error of an event that came in the place of text."""
    message = f"in the stream: {said}"
    code = error.code or ""
    if len(code) == 3 and code.isdecimal() and int(code) >= 400:
        return error_of_status(int(code), message)
    found = _find(_BY_WORD_OF_EVENT, error, said)
    return Interrupted(message) if found is None else _build(found, message)


def read_message(body: object) -> str:
    """Return the words of an error's body; servers nest them in different ways."""
    for name in ("message", "error", "detail"):
        if message := read_field(body, name):
            return str(message)
    return str(body or "")


def _find(
    table: tuple[tuple[str, type[BackendError]], ...],
    error: openai.APIError,
    said: str,
) -> type[BackendError] | None:
    kind = f"{error.code} {error.type}".lower()
    for word, found in table:
        if word in kind:
            return found
    is_too_long = any(words in said.lower() for words in _TOO_LONG_WORDS)
    return PromptTooLong if is_too_long else None


def _build(found: type[BackendError], message: str) -> BackendError:
    return PromptTooLong(message=message) if found is PromptTooLong else found(message)


def _read_choice(chunk: object) -> object:
    """Return the first answer's part; None in chunks that hold none, as usage does."""
    choices = read_field(chunk, "choices")
    if not isinstance(choices, list):
        return None
    return next((c for c in choices if not read_field(c, "index")), None)


def _read_usage(value: object) -> Usage | None:
    prompt_tokens = read_count(value, "prompt_tokens")
    completion_tokens = read_count(value, "completion_tokens")
    if prompt_tokens is None or completion_tokens is None:
        return None
    prompt = read_field(value, "prompt_tokens_details")
    completion = read_field(value, "completion_tokens_details")
    return build_usage(
        prompt_tokens,
        completion_tokens,
        cached=read_count(prompt, "cached_tokens"),
        cache_written=read_count(prompt, "cache_write_tokens"),
        reasoned=read_count(completion, "reasoning_tokens"),
    )

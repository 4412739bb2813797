"""What Google's Gemini API says of one reply: its stream and its errors."""

import re
from collections.abc import Iterator, Mapping

from google.genai import errors

from inference.backends.api_answer import (
    Answer,
    build_usage,
    read_count,
    read_field,
    read_name,
    read_text,
)
from inference.backends.statuses import error_of_status, read_retry_after
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
    Unavailable,
)
from inference.types import FinishReason, Usage

_FINISH_REASONS = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    # more than one request may write; the SDK would go on by itself and is told not to
    "CONTINUATION": FinishReason.LENGTH,
    **dict.fromkeys(
        (
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "ESCALATION",
            "MODEL_ARMOR",
        ),
        FinishReason.CONTENT_FILTER,
    ),
}
_BY_STATUS: Mapping[str, type[BackendError]] = {
    "UNAUTHENTICATED": AuthenticationFailed,
    "PERMISSION_DENIED": AuthenticationFailed,
    "FAILED_PRECONDITION": AuthenticationFailed,  # not in this country, or unpaid
    "NOT_FOUND": Misconfigured,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAVAILABLE": Overloaded,
    "INTERNAL": Unavailable,
    "DEADLINE_EXCEEDED": Unavailable,
    "INVALID_ARGUMENT": RequestRejected,
    "OUT_OF_RANGE": RequestRejected,
}
_TOO_LONG_WORDS = "exceeds the maximum number of tokens"
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


class GeminiAnswer(Answer):
    """What has come of one reply so far; each chunk counts all tokens until it."""

    def read(self, event: object) -> str:
        """Return a chunk's text, without thoughts; raises InvalidResponse."""
        self.model = read_name(event, "model_version") or self.model
        self.request_id = self.request_id or read_name(event, "response_id")
        self.usage = _read_usage(read_field(event, "usage_metadata")) or self.usage
        if read_field(read_field(event, "prompt_feedback"), "block_reason"):
            self.finish_reason = FinishReason.CONTENT_FILTER
        candidate = _first(read_field(event, "candidates"))
        if reason := read_field(candidate, "finish_reason"):
            self._end(str(getattr(reason, "value", reason)))
        return "".join(_texts(read_field(candidate, "content")))

    def _end(self, reason: str) -> None:
        """Note the finish reason; raises InvalidResponse for the model's failures."""
        if reason == "FINISH_REASON_UNSPECIFIED":
            return
        if reason not in _FINISH_REASONS:
            raise InvalidResponse(f"the model ended with {reason[:60]}")
        self.finish_reason = _FINISH_REASONS[reason]


def error_of_answer(
    error: errors.APIError, said: str, is_event: bool, wait_s: float | None
) -> BackendError:
    """Return what an error means, as an answer's status or as an event of a stream."""
    code = error.code if isinstance(error.code, int) else 0
    message = f"in the stream: {said}" if is_event else f"status {code}: {said}"
    found = _find(error)
    if found is Overloaded:
        delay_s = _read_delay(error)
        return Overloaded(message, wait_s if delay_s is None else delay_s)
    if found is PromptTooLong:
        return PromptTooLong(message=message)
    if found is not None:
        return found(message)
    if is_event and code < 400:
        return Interrupted(message)
    return error_of_status(code, message if said else f"status {code}", wait_s)


def read_message(error: errors.APIError) -> str:
    """Return the words of an error."""
    if isinstance(error.message, str) and error.message:
        return error.message
    return str(error.details or "")


def _find(error: errors.APIError) -> type[BackendError] | None:
    if any(read_text(d, "reason") == "API_KEY_INVALID" for d in _details(error)):
        return AuthenticationFailed  # which comes with the status 400
    if _TOO_LONG_WORDS in read_message(error):
        return PromptTooLong
    found = _BY_STATUS.get(str(error.status or ""))
    is_spent = any("PerDay" in quota for quota in _quotas(error))
    return AccountExhausted if found is Overloaded and is_spent else found


def _read_delay(error: errors.APIError) -> float | None:
    """Return the seconds of a RetryInfo, such as "37.5s"; None without one."""
    for detail in _details(error):
        if read_text(detail, "@type").endswith("RetryInfo"):
            match = _SECONDS.fullmatch(read_text(detail, "retryDelay"))
            return read_retry_after(match[1]) if match else None
    return None


def _quotas(error: errors.APIError) -> Iterator[str]:
    """Yield the names of the quotas that are used up."""
    for detail in _details(error):
        violations = read_field(detail, "violations")
        for violation in violations if isinstance(violations, list) else []:
            yield read_text(violation, "quotaId")


def _details(error: errors.APIError) -> Iterator[object]:
    """Yield the details of an error, in either of the shapes that it is kept in."""
    body = read_field(error.details, "error") or error.details
    details = read_field(body, "details")
    yield from details if isinstance(details, list) else []


def _first(values: object) -> object:
    return values[0] if isinstance(values, list) and values else None


def _texts(content: object) -> Iterator[str]:
    """Yield the texts of a reply's parts, but for the model's thoughts."""
    parts = read_field(content, "parts")
    for part in parts if isinstance(parts, list) else []:
        if not read_field(part, "thought"):
            yield read_text(part, "text")


def _read_usage(said: object) -> Usage | None:
    """Return the usage; thoughts are billed as reply and counted apart from it."""
    prompt_tokens = read_count(said, "prompt_token_count")
    if prompt_tokens is None:
        return None
    thought_tokens = read_count(said, "thoughts_token_count") or 0
    return build_usage(
        prompt_tokens + (read_count(said, "tool_use_prompt_token_count") or 0),
        (read_count(said, "candidates_token_count") or 0) + thought_tokens,
        cached=read_count(said, "cached_content_token_count"),
        reasoned=thought_tokens,
    )

"""What the HTTP status of a provider's refusal means to the router."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    BackendError,
    InvalidResponse,
    Misconfigured,
    Overloaded,
    PromptTooLong,
    RequestRejected,
    Unavailable,
)

_MAX_MESSAGE_CHARS = 200
_KEY_STATUSES = {401, 403}
# There is no such path or no such model: what the row says is wrong.
_PLACE_STATUSES = {404, 405, 410}
# 529 is what some providers answer when all of their customers are too many.
_BUSY_STATUSES = {429, 503, 529}
_PASSING_STATUSES = {408, 409, 425, 499}


class ContentRefused(RequestRejected):
    """The provider's filter holds back the prompt: an answer, if a poor one."""


def error_of_status(
    status: int, message: str, retry_after_s: float | None = None
) -> BackendError:
    """Return the error that a status stands for; `message` is for the operator."""
    if status in _BUSY_STATUSES:
        return Overloaded(message, retry_after_s)
    error = _class_of_status(status)
    if error is InvalidResponse:
        return InvalidResponse(f"{message}; is the endpoint right?")
    if error is PromptTooLong:
        return PromptTooLong(message=message)
    found = error(message)
    if found.is_backends_fault:
        found.retry_after_s = retry_after_s
    return found


def _class_of_status(status: int) -> type[BackendError]:
    if status in _KEY_STATUSES:
        return AuthenticationFailed
    if status == 402:
        return AccountExhausted
    if status in _PLACE_STATUSES:
        return Misconfigured
    if status == 413:
        return PromptTooLong
    if status >= 500 or status in _PASSING_STATUSES:
        return Unavailable
    return RequestRejected if status >= 400 else InvalidResponse


def read_wait(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds an answer asks us to wait, None if it does not.

    `Retry-After-Ms` is Azure's and OpenAI's, and finer.
    """
    wait_ms = read_retry_after(headers.get("retry-after-ms"))
    if wait_ms is not None:
        return wait_ms / 1000
    return read_retry_after(headers.get("retry-after"))


def read_retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds of a `Retry-After` header, at least 0; None if unreadable.

    It holds seconds or a date (RFC 9110, section 10.2.3).
    """
    if header is None:
        return None
    try:
        wait_s = float(header)
    except ValueError:
        return _seconds_until(header, now or datetime.now(UTC))
    return max(wait_s, 0.0) if math.isfinite(wait_s) else None


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(date)
    except (ValueError, OverflowError):  # of a number too large, and its message
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max((then - now).total_seconds(), 0.0)


def quote(text: str, secret: str) -> str:
    """Return a provider's words on one line, shortened, and without the secret."""
    if secret:
        text = text.replace(secret, "[key]")
    # no NUL, no half of a character: the ledger would not take them
    text = "".join(c for c in " ".join(text.split()) if c.isprintable())
    if len(text) > _MAX_MESSAGE_CHARS:
        text = text[: _MAX_MESSAGE_CHARS - 3] + "..."
    return text

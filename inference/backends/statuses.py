"""What the HTTP status of a provider's refusal means to the router."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from inference.errors import (
    AuthenticationFailed,
    BackendError,
    InvalidResponse,
    Overloaded,
    RequestRejected,
    Unavailable,
)

_MAX_MESSAGE_CHARS = 200
# 402 is an account without money: like a wrong key, only a person can change it.
_KEY_STATUSES = {401, 402, 403}
# 529 is what some providers answer when all of their customers are too many.
_BUSY_STATUSES = {429, 503, 529}
_PASSING_STATUSES = {408, 409, 425}


def error_of_status(
    status: int, message: str, retry_after_s: float | None = None
) -> BackendError:
    """Return the error that a status stands for; `message` is for the operator."""
    if status in _KEY_STATUSES:
        return AuthenticationFailed(message)
    if status in _BUSY_STATUSES:
        return Overloaded(message, retry_after_s)
    if status >= 500 or status in _PASSING_STATUSES:
        return Unavailable(message)
    if status >= 400:
        return RequestRejected(message)
    return InvalidResponse(f"{message}; is the endpoint right?")


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
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max((then - now).total_seconds(), 0.0)


def quote(text: str, secret: str) -> str:
    """Return a provider's words on one line, shortened, and without the secret."""
    if secret:
        text = text.replace(secret, "[key]")
    text = " ".join(text.split())
    if len(text) > _MAX_MESSAGE_CHARS:
        text = text[: _MAX_MESSAGE_CHARS - 3] + "..."
    return text

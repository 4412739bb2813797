"""How much one visitor, and one address, may ask for."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from ipaddress import IPv6Address, ip_address, ip_network
from time import monotonic

from django.conf import settings
from django.utils import timezone
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter, RateLimiter

from inference.redis_link import RedisGone, link_to


class RateLimited(Exception):  # noqa: N818 - says what happened
    """Too much was asked for; `retry_after_ms` says when more is allowed."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(f"Too many. Try again in {-(-retry_after_ms // 1000)} s.")
        self.retry_after_ms = retry_after_ms


def address_key(client: Sequence[object] | None) -> str:
    """Return what stands for an address in the limits, given an ASGI `client`.

    One subscriber of IPv6 has a whole /64, so that counts as one address.
    """
    try:
        address = ip_address(str(client[0]) if client else "")
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ip_network((int(address), 64), strict=False))
    return str(address)


@cache
def _shared_limiter() -> RateLimiter | None:
    """Return the limiter that all processes share, None if there is one process."""
    url = settings.RATE_LIMIT_STORAGE_URL
    if url.startswith("memory:"):
        return None
    pool = link_to(url).client.connection_pool
    storage = RedisStorage(url, connection_pool=pool, key_prefix="support:limits")
    return MovingWindowRateLimiter(storage)


@cache
def _process_limiter() -> RateLimiter:
    """Return the limiter of what one process sees alone, such as a socket.

    Without a Redis it counts everything.
    """
    return MovingWindowRateLimiter(MemoryStorage())


def check_messages(conversation_id: str, address: str) -> None:
    """Count a message; raises RateLimited if the visitor or the address sends too much.

    An address may carry several visitors (offices, mobile networks), hence ten times
    the visitor's allowance.
    """
    per_minute = settings.MESSAGES_PER_MINUTE
    _hit(RateLimitItemPerMinute(per_minute), "message", conversation_id)
    _hit(RateLimitItemPerMinute(per_minute * 10), "message-address", address)


def check_sessions(address: str) -> None:
    """Count a new conversation; raises RateLimited if the address starts too many."""
    _hit(RateLimitItemPerHour(settings.SESSIONS_PER_HOUR), "session", address)


def check_renewals(address: str) -> None:
    """Count a renewal; raises RateLimited if the address makes too many.

    Every open tab renews four times an hour, and an office has many.
    """
    _hit(RateLimitItemPerHour(settings.SESSIONS_PER_HOUR * 20), "renewal", address)


def _hit(item: RateLimitItem, *identifiers: str) -> None:
    """Count where all processes do, else here: a visitor is never refused for Redis."""
    limiter = _shared_limiter()
    if limiter is not None:
        link = link_to(settings.RATE_LIMIT_STORAGE_URL)
        with suppress(RedisGone):
            link.ask(lambda: _hit_at(limiter, item, *identifiers))
            return
    _hit_at(_process_limiter(), item, *identifiers)


def _hit_at(limiter: RateLimiter, item: RateLimitItem, *identifiers: str) -> None:
    if not limiter.hit(item, *identifiers):
        raise RateLimited(_wait_ms(limiter, item, *identifiers))


def _wait_ms(limiter: RateLimiter, item: RateLimitItem, *identifiers: str) -> int:
    reset_at, _ = limiter.get_window_stats(item, *identifiers)
    return max(int((reset_at - timezone.now().timestamp()) * 1000), 1000)


class FrameAllowance:
    """Counts the frames of one socket, in this process and for its life only.

    `num_refused` counts refusals since the last frame that was let through. Counted
    here and not by `limits`, whose memory starts a thread now and then to tidy up: on
    a busy server the event loop waited 30 ms for that with most of the frames.
    """

    def __init__(self) -> None:
        self._times_s: deque[float] = deque()
        self.num_refused = 0

    def check(self) -> None:
        """Count a frame; raises RateLimited above `FRAMES_PER_MINUTE`."""
        now_s, times_s = monotonic(), self._times_s
        while times_s and times_s[0] <= now_s - 60:
            times_s.popleft()
        if len(times_s) >= settings.FRAMES_PER_MINUTE:
            self.num_refused += 1
            oldest_s = times_s[0] if times_s else now_s
            raise RateLimited(max(int((oldest_s + 60 - now_s) * 1000), 1000))
        times_s.append(now_s)
        self.num_refused = 0


def describe_limits() -> dict[str, int]:
    """Return the limits that a client is told."""
    return {
        "message_characters": settings.MESSAGE_CHARACTERS,
        "frame_bytes": settings.FRAME_BYTES,
        "frames_per_minute": settings.FRAMES_PER_MINUTE,
        "messages_per_minute": settings.MESSAGES_PER_MINUTE,
        "sockets_per_conversation": settings.SOCKETS_PER_CONVERSATION,
    }

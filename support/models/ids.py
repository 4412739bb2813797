"""Public ids: UUIDs of version 7, which sort by the time they were made."""

import secrets
import time
import uuid


def new_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix ms, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= secrets.randbits(12) << 64
    value |= 0b10 << 62
    value |= secrets.randbits(62)
    return uuid.UUID(int=value)

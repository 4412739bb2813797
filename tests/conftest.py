"""Fixtures of all tests."""

import pytest

from inference import registry
from support.chat import rate_limits
from support.chat.reply_buffer import reply_buffer


@pytest.fixture(autouse=True)
def _fresh_process_state():
    """Forget what this process remembers outside the database."""
    yield
    registry.close()
    registry.registry.router = type(registry.registry.router)()
    reply_buffer.clear()
    rate_limits._shared_limiter.cache_clear()

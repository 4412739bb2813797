"""Fixtures of all tests."""

import pytest

from inference import registry
from support.chat import rate_limits
from support.chat.reply_buffer import reply_buffer
from tests.services import postgres_url, redis_client, redis_url  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def _fresh_process_state():
    """Forget what this process remembers outside the database."""
    yield
    registry.close()
    registry.registry.loads_models = True
    registry.registry.router = type(registry.registry.router)()
    rate_limits._process_limiter.cache_clear()
    reply_buffer.clear()
    rate_limits._shared_limiter.cache_clear()

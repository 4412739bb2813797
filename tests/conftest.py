"""Fixtures of all tests."""

import pytest

from inference import registry
from support.chat import rate_limits
from support.chat.reply_buffer import reply_buffer
from tests.inference.backends.openai_stand_in import OpenAIStandIn


@pytest.fixture(autouse=True)
def _fresh_process_state():
    """Forget what this process remembers outside the database."""
    yield
    registry.close()
    registry.registry.router = type(registry.registry.router)()
    reply_buffer.clear()
    rate_limits._shared_limiter.cache_clear()


@pytest.fixture
def provider():
    """A provider in OpenAI's form on a real socket; it answers as the test says."""
    stand_in = OpenAIStandIn()
    yield stand_in
    stand_in.close()

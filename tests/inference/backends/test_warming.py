"""What conversations begin with is in the cache before the first customer."""

import os
import signal

import pytest

from inference.backends.llama_cpp import LlamaCppBackend
from inference.engine.config import EngineConfig
from inference.engine.host import HostState
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Deadlines,
)
from tests.inference.conftest import QUICK, wait_until

SYSTEM = ChatMessage("system", "You answer from the help articles of a shop. " * 12)
OPENINGS = [(SYSTEM, ChatMessage("user", "Help articles:"))]
QUESTION = (SYSTEM, ChatMessage("user", "Help articles: none. Is it open?"))


@pytest.fixture
def backend(model_path):
    config = EngineConfig(model_path, num_cells=4096, num_threads=1)
    backend = LlamaCppBackend("local", config, QUICK)
    yield backend
    backend.close()


def wait_until_idle(backend):
    wait_until(lambda: backend.host.state is HostState.READY, timeout_s=60)
    wait_until(lambda: not backend.host.num_requests)


def ask(backend):
    """Return the usage of a first question."""
    request = CompletionRequest(QUESTION, max_tokens=8)
    stream = backend.stream(request, Deadlines(first_token_s=30), CancelToken())
    *_, completion = stream
    assert isinstance(completion, Completion)
    return completion.usage


def test_told_before_the_start_it_knows_the_opening_after_it(backend):
    backend.warm(OPENINGS)
    assert backend.read_engine() is None
    backend.start()
    wait_until_idle(backend)
    usage = ask(backend)
    assert usage.cached_tokens > usage.prompt_tokens * 0.7


def test_told_later_it_reads_the_opening_then_and_after_each_death(backend):
    backend.start()
    wait_until_idle(backend)
    backend.warm(OPENINGS)
    wait_until_idle(backend)
    usage = ask(backend)
    assert usage.cached_tokens > usage.prompt_tokens * 0.7
    os.kill(backend.host.pid, signal.SIGKILL)
    wait_until(lambda: backend.host.num_starts == 2)
    wait_until_idle(backend)
    usage = ask(backend)
    assert usage.cached_tokens > usage.prompt_tokens * 0.7


def test_an_opening_that_does_not_fit_keeps_nobody_waiting(backend):
    backend.warm([(ChatMessage("system", "word " * 9000), OPENINGS[0][1])])
    backend.start()
    wait_until_idle(backend)
    assert ask(backend).completion_tokens > 0


def test_says_what_the_cache_takes(backend):
    backend.start()
    wait_until_idle(backend)
    stats = backend.read_engine()
    assert stats.cache_bytes > 100_000
    assert stats.cell_bytes == stats.cache_bytes / 4096 or stats.num_cells == 0


def test_foresees_the_first_token_once_it_knows_its_speed(backend):
    request = CompletionRequest(QUESTION, max_tokens=8)
    assert backend.predict_ttft_s(request) is None
    backend.warm(OPENINGS)
    backend.start()
    wait_until_idle(backend)
    wait_until(lambda: backend.predict_ttft_s(request) is not None)
    assert 0 < backend.predict_ttft_s(request) < 10

"""What conversations begin with is in the cache before the first customer."""

import os
import signal

import pytest

from inference.backends.llama_cpp import LlamaCppBackend
from inference.engine.config import EngineConfig
from inference.engine.host import HostState
from inference.engine.reception import Reception
from inference.errors import Overloaded
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


@pytest.fixture
def begun(backend, monkeypatch):
    """How many requests there were each time that another one was begun."""
    submit, counts = backend.host._submit, []

    def count(*args, **kwargs):
        counts.append(backend.host.num_requests)
        return submit(*args, **kwargs)

    monkeypatch.setattr(backend.host, "_submit", count)
    return counts


def test_openings_are_read_one_at_a_time(backend, begun):
    backend.warm([build_opening(number) for number in range(5)])
    backend.start()
    wait_until(lambda: len(begun) == 5, timeout_s=60)
    assert begun == [0] * 5


def test_no_opening_is_read_while_somebody_asks(backend, begun):
    backend.start()
    wait_until_idle(backend)
    asked = backend.host.submit(CompletionRequest(QUESTION, 1500, temperature=2.0))
    asked.take()
    backend.warm([build_opening(1)])
    assert len(begun) == 1
    asked.cancel()
    wait_until(lambda: begun == [0, 0])


def test_an_engine_that_only_warms_up_is_not_full():
    reception = Reception(EngineConfig("-", max_sequences=1, max_waiting=0), QUICK)
    request = CompletionRequest(QUESTION, max_tokens=8)
    reception.admit(request, None, print, is_warm_up=True)
    assert not reception.is_full
    reception.admit(request, 0.001, print)
    with pytest.raises(Overloaded):
        reception.admit(request, None, print)


def build_opening(number):
    system = ChatMessage("system", f"You are number {number} of this shop. " * 12)
    return system, OPENINGS[0][1]


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

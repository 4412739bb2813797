"""The local backend, with the real engine behind it, as the router sees it."""

import os
import signal
import time

import pytest

from inference.backends.base import BackendSettings
from inference.backends.llama_cpp import (
    LlamaCppBackend,
    build_backend,
    build_config,
    check_settings,
)
from inference.backends.scripted import ScriptedBackend
from inference.engine.config import EngineConfig
from inference.errors import Unavailable
from inference.routing.router import Router
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    Reset,
    Routed,
)
from tests.inference.conftest import QUICK, wait_until

REQUEST = CompletionRequest((ChatMessage("user", "Where is my tent?"),), max_tokens=20)
LONG = CompletionRequest(
    (ChatMessage("user", "Tell me everything."),), 1500, temperature=2.0, seed=1
)
PATIENT = Deadlines(first_token_s=60, gap_s=60, total_s=180)


@pytest.fixture
def backend(model_path):
    config = EngineConfig(model_path, num_cells=4096, num_threads=1)
    backend = LlamaCppBackend("local", config, QUICK)
    yield backend
    backend.close()


def read(backend, request=REQUEST, cancel=None, deadlines=PATIENT):
    return list(backend.stream(request, deadlines, cancel or CancelToken()))


def route(backends, request=REQUEST, on_item=lambda item: None):
    items, reports = [], []
    router = Router(retry_pause_s=0.05)
    patience = {backend.name: PATIENT for backend in backends}
    cancel = CancelToken()
    for item in router.route(request, backends, patience, cancel, reports.append):
        items.append(item)
        on_item(item)
    return items, reports


def test_loads_at_the_first_call(backend):
    *deltas, completion = read(backend)
    assert all(isinstance(delta, Delta) and delta.text for delta in deltas)
    assert isinstance(completion, Completion)
    assert completion.usage.completion_tokens > 0


def test_the_same_question_gets_the_same_answer(backend):
    first, second = read(backend), read(backend)
    texts = ["".join(d.text for d in items[:-1]) for items in (first, second)]
    assert texts[0] == texts[1]
    assert second[-1].usage.cached_tokens == second[-1].usage.prompt_tokens - 1


def test_a_call_closed_early_is_cancelled_in_the_engine(backend):
    stream = backend.stream(LONG, PATIENT, CancelToken())
    next(stream)
    stream.close()
    wait_until(lambda: backend.host.num_requests == 0)


def test_a_cancel_ends_the_stream_with_what_it_used(backend):
    cancel = CancelToken()
    stream = backend.stream(LONG, PATIENT, cancel)
    next(stream)
    cancel.cancel()
    *_, completion = stream
    assert completion.finish_reason is FinishReason.CANCELLED


def test_a_cancel_reaches_those_who_wait_for_the_model(backend):
    backend.start()
    cancel = CancelToken()
    cancel.cancel()
    assert read(backend, cancel=cancel)[-1].finish_reason is FinishReason.CANCELLED


def test_a_killed_engine_resets_the_reply_and_answers_again(backend):
    read(backend)
    killed = []

    def kill_once(item):
        if isinstance(item, Delta) and not killed:
            os.kill(backend.host.pid, signal.SIGKILL)
            killed.append(True)

    items, reports = route([backend], LONG, kill_once)
    assert [item.error for item in items if isinstance(item, Reset)] == ["Interrupted"]
    assert isinstance(items[-1], Routed)
    assert [report.error for report in reports] == ["Interrupted", ""]


def test_the_next_backend_answers_while_the_engine_is_gone(backend):
    read(backend)
    os.kill(backend.host.pid, signal.SIGSTOP)
    cloud = ScriptedBackend("cloud", ["say Yes"])
    items, reports = route([backend, cloud])
    assert items[-1].text == "Yes"
    assert [report.backend for report in reports] == ["local", "cloud"]


def test_it_is_passed_over_while_it_loads(backend):
    backend.start()
    cloud = ScriptedBackend("cloud", ["say Yes"])
    _, reports = route([backend, cloud])
    assert [report.backend for report in reports] == ["cloud"]


def test_a_model_that_cannot_be_loaded_fails_at_once(tmp_path):
    broken = LlamaCppBackend("local", EngineConfig(str(tmp_path / "no.gguf")), QUICK)
    started_s = time.monotonic()
    with pytest.raises(Unavailable, match="no model file"):
        read(broken)
    assert time.monotonic() - started_s < 20
    broken.close()


def test_reads_an_operators_options(model_path):
    settings = BackendSettings("local", model_path, {"num_threads": 2})
    check_settings(settings)
    backend = build_backend(settings)
    assert backend.host.config.num_threads == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"threads": 2}, "unknown options"),
        ({"num_threads": "2"}, "whole number"),
        ({"num_threads": True}, "whole number"),
        ({"num_cells": -1}, "whole number"),
        ({"max_sequences": 0}, "room for a sequence"),
        ({"max_batch_tokens": 4}, "at least max_sequences"),
    ],
)
def test_says_what_is_wrong_with_options(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        build_config("model.gguf", options)


def test_a_file_of_another_kind_is_refused_before_it_is_saved(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="is not a GGUF file"):
        check_settings(BackendSettings("local", str(path)))

"""The local backend, with the real engine behind it, as the router sees it."""

import os
import signal
import time

import pytest

from inference.backends.base import BackendSettings
from inference.backends.llama_cpp import (
    LlamaCppBackend,
    build_backend,
    check_settings,
)
from inference.backends.llama_options import build_config
from inference.backends.scripted import ScriptedBackend
from inference.engine.config import Adapter, EngineConfig
from inference.engine.host import EngineHost, HostState
from inference.errors import Overloaded, Unavailable
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
from tests.inference.routing import errands
from tests.inference.toy_models import adapter, embedder

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


class LateHost(EngineHost):
    """One whose model is ready in the moment after a look, 0.2 s after the call."""

    num_looks, first_token_s = 0, None

    def start(self):
        self._set_state(HostState.READY)

    def wait_until_ready(self, timeout_s):
        self.num_looks += 1
        time.sleep(0.2 if self.num_looks == 1 else 0)
        return self.num_looks > 1

    def submit(self, request, first_token_s=None):
        self.first_token_s = first_token_s
        raise Overloaded("tried")


def test_what_was_waited_for_a_load_is_not_waited_for_again(backend):
    backend.host = LateHost(backend.host.config)
    with pytest.raises(Overloaded, match="tried"):
        read(backend, deadlines=Deadlines(first_token_s=5))
    assert 0 < backend.host.first_token_s <= 4.8


def route(backends, request=REQUEST, on_item=lambda item: None):
    items, reports = [], []
    router = errands.make_router(pause_s=0.05)
    stream = errands.route(
        router, request, backends, PATIENT, on_attempt=reports.append
    )
    for item in stream:
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


def test_a_call_closed_early_is_cancelled_in_the_engine(backend, monkeypatch):
    ends, end = [], backend.host._end_ticket

    def note_end(event):
        ends.append(event)
        end(event)

    monkeypatch.setattr(backend.host, "_end_ticket", note_end)
    stream = backend.stream(LONG, PATIENT, CancelToken())
    next(stream)
    stream.close()
    wait_until(lambda: backend.host.num_requests == 0)
    [event] = ends
    assert event.completion.finish_reason is FinishReason.CANCELLED


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
        ({"threads": 2}, "unknown options .*there are .*num_threads"),
        ({"num_threads": "2"}, "whole number from 0 to 512 or null"),
        ({"num_threads": True}, "whole number"),
        ({"num_threads": 513}, "from 0 to 512"),
        ({"num_cells": -1}, "whole number from 0 to 16,777,216"),
        ({"num_cells": 2**32 + 512}, "whole number"),
        ({"num_cells": 1e3}, "whole number"),
        ({"max_sequences": 0}, "room for a sequence"),
        ({"max_sequences": 256}, "260 together; llama.cpp tells 256 apart"),
        ({"max_batch_tokens": 4}, "at least max_sequences"),
        ({"main_gpu": 1}, "main_gpu needs num_gpu_layers"),
        ({"mmap": "yes"}, "true, false or null"),
        ({"mlock": None}, "true or false"),
        ({"kv_type_k": "q5_0"}, "one of auto, f16, q8_0, q4_0, not 'q5_0'"),
        ({"kv_type_v": ["f16"]}, "one of auto"),
        ({"flash_attention": True}, "one of auto, on, off"),
        ({"flash_attention": "off", "kv_type_v": "q8_0"}, "needs flash attention"),
        ({"rope_scaling": "ntk"}, "one of model, none, linear, yarn"),
        ({"rope_factor": 2}, "needs rope_scaling: linear or yarn"),
        ({"rope_factor": 0.5, "rope_scaling": "yarn"}, "from 1 to 64"),
        ({"rope_base": float("nan")}, "number from 0"),
        ({"adapters": "a.gguf"}, "must be a list such as"),
        ({"adapters": [{"file": "a.gguf"}]}, "is not like that"),
        ({"adapters": [{"path": "a.gguf", "scale": "1"}]}, "scale of a.gguf must be"),
        ({"template": 7}, "must be a text"),
        ({"quote_lean": -1}, "number from 0"),
    ],
)
def test_says_what_is_wrong_with_options(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        build_config("model.gguf", options)


def test_reads_every_option(model_path):
    options = {
        "num_cells": 1024, "num_batch_threads": 2, "num_gpu_layers": 9, "main_gpu": 0,
        "mmap": False, "mlock": True, "kv_type_k": "q8_0", "kv_type_v": "q4_0",
        "flash_attention": "on", "full_windows": False, "rope_scaling": "yarn",
        "rope_factor": 2, "rope_base": 1e6, "adapters": [{"path": "a.gguf"}],
    }  # fmt: skip
    config = build_config("model.gguf", options)
    assert config.adapters == (Adapter("a.gguf", 1.0),)
    assert (config.kv_type_v, config.rope_factor, config.mmap) == ("q4_0", 2.0, False)


def test_an_adapter_that_is_not_there_is_refused_before_it_is_saved(model_path):
    options = {"adapters": [{"path": "/nowhere.gguf"}]}
    with pytest.raises(ValueError, match=r"no adapter file at /nowhere\.gguf"):
        check_settings(BackendSettings("local", model_path, options))


def test_a_model_is_no_adapter(model_path):
    options = {"adapters": [{"path": model_path}]}
    with pytest.raises(ValueError, match="is no LoRA adapter"):
        check_settings(BackendSettings("local", model_path, options))


def test_an_adapter_and_an_embedder_are_no_models(tmp_path):
    for make, why in ((adapter, "is an adapter"), (embedder, "writes no text")):
        path = make().write(tmp_path / "other.gguf")
        with pytest.raises(ValueError, match=why):
            check_settings(BackendSettings("local", str(path)))


def test_a_file_of_another_kind_is_refused_before_it_is_saved(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="is not a GGUF file"):
        check_settings(BackendSettings("local", str(path)))

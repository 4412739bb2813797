"""The rules of inference/backends/base.py, kept by every kind of backend.

The same tests over all of them: those that ask a provider ask the stand-in through
their real SDKs; the local one runs a real model. What each does when its provider
misbehaves stands in test_contract_faults.py.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from inference.backends.base import Backend
from inference.backends.llama_cpp import LlamaCppBackend
from inference.backends.scripted import ScriptedBackend
from inference.engine.config import EngineConfig
from inference.errors import BackendError, Unavailable
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    Usage,
)
from tests.inference.conftest import QUICK, wait_until
from tests.inference.providers import REPLY, Provider
from tests.inference.providers.kinds import KINDS

REQUEST = CompletionRequest(
    (
        ChatMessage("system", "You are Fern."),
        ChatMessage("user", "Can I send it back?"),
    ),
    max_tokens=40,
)
PATIENT = Deadlines(connect_s=5, first_token_s=60, gap_s=60, total_s=180)
LONG = replace(REQUEST, max_tokens=1500, temperature=1.5, seed=1)
PACE_S = 0.02


@dataclass
class Subject:
    """A backend, and what else is known of its other side.

    `count_calls` says how many requests have arrived there; `reply` is what it writes,
    empty where that is the model's business.
    """

    backend: Backend
    count_calls: Callable[[], int]
    reply: str = ""
    stand_in: Provider | None = None


@pytest.fixture(scope="module")
def stand_in():
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture(scope="module", params=[*KINDS, "scripted", "llama_cpp"], ids=str)
def subject(request, stand_in, model_path):
    if request.param == "scripted":
        script = f"pace {PACE_S}\n" + "\n".join(
            f'say "{word} "' for word in REPLY.split()
        )
        backend = ScriptedBackend("scripted", [script])
        yield Subject(backend, lambda: len(backend.requests), f"{REPLY} ")
    elif request.param == "llama_cpp":
        config = EngineConfig(model_path, num_cells=4096, num_threads=1)
        local = LlamaCppBackend("local", config, QUICK)
        local.start()
        assert local.host.wait_until_ready(60)
        yield Subject(local, lambda: local.read_engine().num_prompt_tokens)
        local.close()
    else:
        with request.param.connected(stand_in) as backend:
            yield Subject(backend, lambda: len(stand_in.requests), REPLY, stand_in)


@pytest.fixture(scope="module", params=KINDS, ids=str)
def asked(request, stand_in):
    """A subject whose other side is the stand-in."""
    with request.param.connected(stand_in) as backend:
        yield Subject(backend, lambda: len(stand_in.requests), REPLY, stand_in)


@pytest.fixture(autouse=True)
def _healthy(stand_in):
    yield
    stand_in.stand("none")
    stand_in.reply = REPLY


def read(subject, request=REQUEST, cancel=None):
    """Return what a stream yields, but for the usage that it may tell on the way."""
    stream = subject.backend.stream(request, PATIENT, cancel or CancelToken())
    return [item for item in stream if not isinstance(item, Usage)]


def test_yields_text_and_then_one_completion(subject):
    *deltas, completion = read(subject)
    assert {type(delta) for delta in deltas} == {Delta}
    assert all(delta.text for delta in deltas)
    assert isinstance(completion, Completion)
    assert completion.finish_reason in {FinishReason.STOP, FinishReason.LENGTH}


def test_the_text_is_what_was_written(subject):
    text = "".join(item.text for item in read(subject)[:-1])
    assert text == (subject.reply or text) != ""


def test_says_what_it_used_and_who_answered(subject):
    completion = read(subject)[-1]
    assert completion.usage.prompt_tokens > 0
    assert completion.usage.completion_tokens > 0
    assert completion.usage.is_estimated is False
    assert completion.model


def test_creating_the_generator_makes_no_call(subject):
    before = subject.count_calls()
    subject.backend.stream(REQUEST, PATIENT, CancelToken()).close()
    assert subject.count_calls() == before


def test_ends_at_the_limit_of_tokens(subject):
    *deltas, completion = read(subject, replace(REQUEST, max_tokens=2))
    assert completion.finish_reason is FinishReason.LENGTH
    assert completion.usage.completion_tokens == 2
    assert 0 < len(deltas) <= 2


def test_a_cancelled_call_has_an_end_only(subject):
    cancel = CancelToken()
    cancel.cancel()
    (completion,) = read(subject, cancel=cancel)
    assert completion.finish_reason is FinishReason.CANCELLED


def test_a_cancel_ends_it_between_two_deltas(subject, stand_in):
    stand_in.stand(f"slow:{PACE_S}")
    cancel = CancelToken()
    items = []
    for item in subject.backend.stream(LONG, PATIENT, cancel):
        items.append(item)
        cancel.cancel()
    assert items[-1].finish_reason is FinishReason.CANCELLED
    assert len("".join(i.text for i in items if isinstance(i, Delta))) < len(REPLY)


def test_a_cancel_wakes_it_while_it_waits(subject, stand_in):
    stand_in.stand("slow:30")
    cancel = CancelToken()
    timer = threading.Timer(0.05, cancel.cancel)
    started_s = time.monotonic()
    timer.start()
    completion = read(subject, LONG, cancel)[-1]
    assert completion.finish_reason is FinishReason.CANCELLED
    assert time.monotonic() - started_s < 20


def test_closing_it_early_leaves_it_usable(subject, stand_in):
    stand_in.stand(f"slow:{PACE_S}")
    stream = subject.backend.stream(LONG, PATIENT, CancelToken())
    next(stream)
    stream.close()
    stand_in.stand("none")
    assert read(subject)[-1].finish_reason is not FinishReason.CANCELLED


def test_threads_stream_from_it_at_once(subject):
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(read, subject) for _ in range(4)]
        results = [call.result(timeout=60) for call in calls]
    texts = {"".join(item.text for item in items[:-1]) for items in results}
    assert len(texts) == 1
    assert subject.reply in texts | {""}


def test_takes_a_conversation_of_every_shape(subject):
    messages = (
        ChatMessage("system", "You are Fern."),
        ChatMessage("user", "Hello?"),
        ChatMessage("user", "Anybody?"),
        ChatMessage("assistant", "Yes."),
        ChatMessage("system", "Be brief."),
        ChatMessage("user", "Can I send it back?"),
    )
    completion = read(subject, CompletionRequest(messages, 5))[-1]
    assert completion.finish_reason in {FinishReason.STOP, FinishReason.LENGTH}


# What only a provider can tell


def test_a_cancelled_call_is_not_made(asked):
    num = asked.count_calls()
    cancel = CancelToken()
    cancel.cancel()
    read(asked, cancel=cancel)
    assert asked.count_calls() == num


def test_the_usage_is_what_the_provider_bills(asked):
    num = asked.count_calls()
    usage = read(asked)[-1].usage
    call = asked.stand_in.ledger.wait_until_over(num + 1)[-1]
    assert usage == Usage(
        call.prompt_tokens,
        call.completion_tokens,
        call.cached_tokens,
        call.reasoning_tokens,
        call.cache_write_tokens,
    )
    assert call.saw_end


def test_cached_tokens_are_what_the_provider_says(asked):
    messages = (
        ChatMessage("system", "You are Fern, who knows all. " * 1000),
        ChatMessage("user", "Can I send it back?"),
    )
    request = CompletionRequest(messages, 9)
    first, second = read(asked, request)[-1].usage, read(asked, request)[-1].usage
    assert first.cached_tokens == 0
    assert second.cached_tokens > 5000
    assert second.prompt_tokens == first.prompt_tokens


def test_a_call_has_the_providers_name_for_it(asked):
    num = asked.count_calls()
    request_id = read(asked)[-1].request_id
    assert request_id == asked.stand_in.ledger.calls[num].request_id != ""


def test_a_stop_string_ends_the_reply_before_it(asked):
    *deltas, completion = read(asked, replace(REQUEST, stop=("within",)))
    assert "".join(delta.text for delta in deltas).rstrip() == "Returns are free"
    assert completion.finish_reason is FinishReason.STOP


def test_text_of_all_scripts_arrives_whole(asked):
    asked.stand_in.reply = 'Straße "40" \\ 5 €, 退货 🙂 end.\n\nNew line.'
    text = "".join(item.text for item in read(asked)[:-1])
    assert text == asked.stand_in.reply


def test_closing_it_early_hangs_up_the_provider(asked):
    asked.stand_in.stand("slow:0.01")
    asked.stand_in.reply = "word " * 2000
    num = asked.count_calls()
    stream = asked.backend.stream(
        replace(LONG, max_tokens=2000), PATIENT, CancelToken()
    )
    next(stream)
    stream.close()
    call = asked.stand_in.ledger.wait_until_over(num + 1)[-1]
    assert not call.saw_end
    assert call.completion_tokens < 2000


def test_closing_the_backend_fails_its_calls(asked):
    asked.stand_in.stand("hang-before-first-token")
    kind = next(k for k in KINDS if k.model == asked.backend.model)
    with kind.connected(asked.stand_in) as backend:
        num = asked.count_calls()

        def close_it():
            wait_until(lambda: asked.count_calls() > num)
            backend.close()

        closing = threading.Thread(target=close_it)
        closing.start()
        with pytest.raises(BackendError):
            list(backend.stream(REQUEST, PATIENT, CancelToken()))
        closing.join()
        with pytest.raises(Unavailable):
            list(backend.stream(REQUEST, PATIENT, CancelToken()))

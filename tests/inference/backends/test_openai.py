"""OpenAI itself: what differs from other servers of its protocol."""

from functools import partial

import pytest

from inference.backends.base import BackendSettings
from inference.backends.openai import build_backend, check_settings
from inference.errors import (
    AccountExhausted,
    AuthenticationFailed,
    BackendError,
    Misconfigured,
    Overloaded,
    PromptTooLong,
    RequestRejected,
)
from inference.types import (
    CancelToken,
    ChatMessage,
    CompletionRequest,
    FinishReason,
    Usage,
)
from tests.inference.backends import asking
from tests.inference.backends.openai_stand_in import (
    COUNTS,
    DEADLINES,
    DONE,
    HANG,
    KEY,
    REQUEST,
    WHOLE,
    connected,
    end,
    event,
    head,
    say,
    usage,
)

read = partial(asking.read, build_backend, path="/v1")


@pytest.fixture
def body(provider):
    """Return a function that asks and returns what arrived."""

    def ask(options=None, model="gpt-4.1", **values):
        request = CompletionRequest(REQUEST.messages, 7, **values)
        read(provider, request, model=model, **(options or {}))
        return provider.asked[-1].body

    return ask


def test_asks_in_the_words_of_the_protocol(body):
    said = body()
    assert len(said.pop("prompt_cache_key")) == 32
    assert said == {
        "model": "gpt-4.1",
        "messages": [
            {"role": "system", "content": "You are Fern."},
            {"role": "user", "content": "Hi"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 7,
    }


def test_samples_as_the_request_says_then_the_row_then_the_model(body):
    said = body({"temperature": 0.3, "seed": 4}, seed=5, top_k=3, stop=("END",))
    assert (said["temperature"], said["seed"], said["stop"]) == (0.3, 5, ["END"])
    assert {"top_p", "top_k"}.isdisjoint(said)


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("gpt-5-mini", True),
        ("gpt-5.6-sol", True),
        ("gpt-6-astra", True),
        ("o3", True),
        ("o4-mini-2025-04-16", True),
        ("ft:gpt-5-mini:me", True),
        ("gpt-5-chat-latest", False),
        ("gpt-5.3-chat-latest", False),
        ("gpt-4.1", False),
        ("gpt-35-turbo", False),
        ("gpt-4o-mini", False),
    ],
)
def test_knows_models_that_reason_by_name(body, model, reasons):
    said = body(model=model, temperature=0.5, stop=("END",))
    assert ("temperature" not in said) is reasons
    assert ("stop" not in said) is reasons
    assert said["max_completion_tokens"] == (7 + 4096 if reasons else 7)


def test_the_row_knows_better(body):
    options = {"reasons": True, "thinking_tokens": 500, "reasoning_effort": "low"}
    said = body(options, temperature=0.5)
    assert said["max_completion_tokens"] == 507
    assert said["reasoning_effort"] == "low"
    assert "temperature" not in said
    assert body({"reasons": False}, "gpt-5", top_p=0.5)["top_p"] == 0.5


def test_a_model_told_not_to_reason_needs_no_room_for_it(body):
    said = body({"reasoning_effort": "none"}, "gpt-5.2")
    assert said["max_completion_tokens"] == 7


def test_equal_system_prompts_share_a_cache(provider):
    def ask(system, question):
        messages = (ChatMessage("system", system), ChatMessage("user", question))
        read(provider, CompletionRequest(messages, 7))
        return provider.asked[-1].body["prompt_cache_key"]

    assert ask("Be kind.", "a") == ask("Be kind.", "b") != ask("Be brief.", "a")


def test_a_prompt_without_a_beginning_has_no_key_of_a_cache(provider):
    read(provider, CompletionRequest((ChatMessage("user", "Hi"),), 7))
    assert "prompt_cache_key" not in provider.asked[0].body


def test_options_add_and_leave_out_fields(body):
    options = {"omit": ["prompt_cache_key"], "extra_body": {"verbosity": "low"}}
    said = body(options)
    assert "prompt_cache_key" not in said
    assert said["verbosity"] == "low"


def test_refuses_a_grammar_and_passes_on_a_schema(provider, body):
    with pytest.raises(RequestRejected):
        body(grammar='root ::= "a"')
    assert provider.asked == []
    schema = {"type": "object"}
    assert body(json_schema=schema)["response_format"]["json_schema"] == {
        "name": "reply", "schema": schema, "strict": True,
    }  # fmt: skip


def test_counts_what_was_cached_written_and_thought(provider):
    counted = usage(
        prompt_tokens=100,
        completion_tokens=20,
        prompt_tokens_details={"cached_tokens": 60, "cache_write_tokens": 30},
        completion_tokens_details={"reasoning_tokens": 15},
    )
    provider.answer = [head(), say("a"), end(), counted, DONE]
    assert read(provider)[-1].usage == Usage(100, 20, 60, 15, 30)


def test_a_stop_string_is_kept_by_a_model_that_takes_none(provider):
    provider.answer = [head(), say("a E"), say("ND b"), HANG]
    request = CompletionRequest(REQUEST.messages, 7, stop=("END",))
    *items, last = read(provider, request, model="o3")
    assert "".join(item.text for item in items) == "a "
    assert last.finish_reason is FinishReason.STOP


def test_what_might_begin_a_stop_string_comes_at_the_end(provider):
    provider.answer = [head(), say("a E"), end(), DONE]
    request = CompletionRequest(REQUEST.messages, 7, stop=("END",))
    *items, _ = read(provider, request, model="o3")
    assert "".join(item.text for item in items) == "a E"


def test_the_answer_has_the_name_of_the_call(provider):
    provider.answer = [head(x_request_id="req_77"), *WHOLE[1:]]
    assert read(provider)[-1].request_id == "req_77"


def test_learns_how_much_more_the_provider_takes(provider):
    limits = {
        "x_ratelimit_remaining_requests": "99",
        "x_ratelimit_reset_requests": "30m",
        "x_ratelimit_remaining_tokens": "10",
        "x_ratelimit_reset_tokens": "20m0s",
    }
    provider.answer = [
        head(**limits), say("a"), end(), usage(**COUNTS), DONE,
    ]  # fmt: skip
    with connected(provider.url, build=build_backend) as backend:
        assert not backend.is_full()
        list(backend.stream(REQUEST, DEADLINES, CancelToken()))
        left = backend.read_rate_limits()
        assert left.requests_reset_s == pytest.approx(1800, abs=300)
        assert left.tokens_reset_s == pytest.approx(1200, abs=300)
        assert (left.requests_left, left.tokens_left) == (99, 10)
        assert backend.is_full()  # the call took 11


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (429, {"code": "insufficient_quota"}, AccountExhausted),
        (429, {"code": "billing_hard_limit_reached"}, AccountExhausted),
        (429, {"code": "rate_limit_exceeded", "type": "tokens"}, Overloaded),
        (404, {"code": "model_not_found"}, Misconfigured),
        (400, {"code": "model_decommissioned"}, Misconfigured),
        (401, {"code": "invalid_api_key"}, AuthenticationFailed),
        (400, {"code": "invalid_api_key"}, AuthenticationFailed),
        (400, {"code": "context_length_exceeded"}, PromptTooLong),
        (400, {"type": "exceed_context_size_error"}, PromptTooLong),
        (400, {"message": "maximum context length is 9 tokens"}, PromptTooLong),
        (400, {"code": "unsupported_parameter"}, RequestRejected),
    ],
)
def test_reads_the_code_before_the_status(provider, status, error, expected):
    words = {"message": "because"} | error
    refused = event({"error": words}).removeprefix(b"data: ")
    provider.answer = [head(status, "application/json") + refused]
    with pytest.raises(BackendError) as caught:
        read(provider)
    assert type(caught.value) is expected
    assert str(caught.value) == f"status {status}: {words['message']}"


def test_a_filter_that_holds_back_the_prompt_is_an_answer(provider):
    """As Azure does it."""
    refused = {"error": {"message": "filtered", "code": "content_filter"}}
    provider.answer = [
        head(400, "application/json") + event(refused).removeprefix(b"data: ")
    ]
    assert [item.finish_reason for item in read(provider)] == ["content_filter"]


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [({"retry_after": "7"}, 7), ({"retry_after": "7", "retry_after_ms": "250"}, 0.25)],
)
def test_says_when_to_come_back(provider, headers, wait_s):
    provider.answer = [head(429, "application/json", **headers) + b"{}"]
    with pytest.raises(Overloaded) as caught:
        read(provider)
    assert caught.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"key": ""}, "a key is needed"),
        ({"key": "", "endpoint": "https://api.openai.com/v1/"}, "a key is needed"),
        ({"options": {"dialect": "vllm"}}, "unknown options"),
        ({"options": {"reasons": 1}}, "reasons must be true or false"),
        ({"options": {"reasoning_effort": "huge"}}, "must be one of none, minimal"),
        ({"options": {"thinking_tokens": 1.5}}, "thinking_tokens must be"),
        ({"options": {"temperature": 0}}, "a model that reasons takes no temperature"),
        ({"options": {"extra_body": {"stream": 0}}}, "must not hold stream"),
        ({"endpoint": "http://api.openai.com/v1"}, "must begin with https"),
    ],
)
def test_says_what_is_wrong_with_settings(change, complaint):
    values = {"model": "gpt-5-mini", "key": KEY} | change
    with pytest.raises(ValueError, match=complaint):
        check_settings(BackendSettings("cloud", **values))
